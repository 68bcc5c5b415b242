"""Kernels compiled by Numba once; their object code is kept on disk and loaded later by llvmlite alone, without importing Numba."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

__all__ = ["SCALARS", "Kernel", "address", "cache_folder", "call", "host_cpu", "scalar", "select"]

F = TypeVar("F", bound=Callable[..., Any])
SCALARS: list[Callable[..., Any]] = []
_objects: list[Any] = []
_registered: list[Callable[..., Any]] = []


def scalar(function: F) -> F:
    """Mark a branch-free function that means the same on NumPy arrays and on Numba scalars; kernels may call it."""
    SCALARS.append(function)
    return function


def select(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`; on compiled scalars without an array (NumPy's own `where` would make one)."""
    return np.where(condition, yes, no)


@dataclass(frozen=True)
class Kernel:
    """A kernel by its factory and the factory's arguments: plain values, and functions marked with `scalar`."""

    factory: Callable[..., Any]
    params: tuple[Any, ...] = ()
    arity: int = 2

    @property
    def name(self) -> str:
        shown = [f"{p.__module__}.{p.__qualname__}" if callable(p) else repr(p) for p in self.params]
        return f"{self.factory.__module__}.{self.factory.__qualname__}({', '.join(shown)})"


def host_cpu() -> tuple[str, str]:
    """The processor that kernels are compiled for, and its features: the host's, or what NUMBA_CPU_NAME and _FEATURES say."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME", "") or "host"
    if name == "host":
        features = os.environ.get("NUMBA_CPU_FEATURES") or llvm.get_host_cpu_features().flatten()
        return llvm.get_host_cpu_name(), features
    return name, os.environ.get("NUMBA_CPU_FEATURES", "")


def cache_folder() -> Path:
    """Where object code is kept: HWSIM_CACHE, or the user's cache folder; one folder per source, processor and compiler."""
    base = os.environ.get("HWSIM_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hwsim")
    return Path(base) / _fingerprint()


@cache
def _fingerprint() -> str:
    """Of everything that machine code depends on: kernel sources, processor, compiler."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(
        repr((host_cpu(), platform.machine(), platform.python_version(), version("numba"), version("llvmlite"))).encode()
    )
    for folder in ("kernels", "arithmetics"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:24]


@cache
def address(kernel: Kernel) -> int:
    """The address of a kernel's machine code `void(intp, ...)`."""
    file = cache_folder() / f"{hashlib.sha256(kernel.name.encode()).hexdigest()[:32]}.o"
    try:
        found = file.read_bytes()
        if hashlib.sha256(found[32:]).digest() == found[:32]:
            header, _, code = found[32:].partition(b"\n")
            return _load(header.decode().split(" "), code)
    except OSError:
        pass
    symbols, code = _compile(kernel)
    _keep(file, symbols, code)
    return _load(symbols, code)


def _keep(file: Path, symbols: list[str], code: bytes) -> None:
    """Store object code: a digest, a line with the kernel's symbol and those it needs, the code.

    A cache that cannot be written only costs time.
    """
    body = " ".join(symbols).encode() + b"\n" + code
    temporary = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(body).digest() + body)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)


@cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _load(symbols: list[str], code: bytes) -> int:
    """Link object code into the process.  The first symbol is the kernel's.

    The others are what it refers to; those of Numba's run-time (memory that it manages, errors) are not there without Numba, and
    kernels on raw addresses never reach them: they stop the process if one ever does.
    """
    import llvmlite.binding as llvm

    symbol, *needed = symbols
    for name in needed:
        if not llvm.address_of_symbol(name):
            llvm.add_symbol(name, ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value)
    engine, held = _engine(), llvm.ObjectFileRef.from_data(code)
    _objects.append(held)
    engine.add_object_file(held)
    engine.finalize_object()
    found = engine.get_function_address(symbol)
    assert found, f"kernel symbol {symbol} must be in its object code"
    return int(found)


def _make_scalars_callable() -> None:
    """Let compiled code call the functions marked with `scalar` since the last time."""
    from numba.extending import overload, register_jitable

    if not _registered:
        overload(select)(lambda condition, yes, no: lambda condition, yes, no: yes if condition else no)
    for function in SCALARS[len(_registered) :]:
        register_jitable(function)
        _registered.append(function)


def _compile(kernel: Kernel) -> tuple[list[str], bytes]:
    from numba import cfunc, types

    function = kernel.factory(*kernel.params)
    _make_scalars_callable()
    compiled = cfunc(types.void(*[types.intp] * kernel.arity), nopython=True, error_model="numpy")(function)
    _, _, data = compiled._library.serialize_using_object_code()
    declared = re.findall(r'^declare [^@]*@"?([\w.$]+)"?\(', compiled._library.get_llvm_str(), re.MULTILINE)
    return [compiled._wrapper_name, *sorted(d for d in set(declared) if not d.startswith("llvm."))], data[0]


def call(entry: int, *args: int) -> None:
    """Call a kernel by its address; other Python threads run meanwhile."""
    _signature(len(args))(entry)(*args)


@cache
def _signature(count: int) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count)
