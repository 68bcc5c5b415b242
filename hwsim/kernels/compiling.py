"""Kernels compiled by Numba once; their object code is kept on disk and loaded later by llvmlite alone, without importing Numba."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["SCALARS", "Kernel", "address", "cache_folder", "call", "host_cpu", "scalar"]

F = TypeVar("F", bound=Callable[..., Any])
SCALARS: list[Callable[..., Any]] = []
_OPTIONAL = ("numba_gil_ensure", "numba_gil_release", "NRT_MemInfo_call_dtor", "NRT_incref", "NRT_decref")
_objects: list[Any] = []
_registered: list[Callable[..., Any]] = []


def scalar(function: F) -> F:
    """Mark a branch-free function that means the same on NumPy arrays and on Numba scalars; kernels may call it."""
    SCALARS.append(function)
    return function


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
    digest = hashlib.sha256(repr((host_cpu(), platform.machine(), platform.python_version(), version("numba"), version("llvmlite"))).encode())
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
        size = int.from_bytes(found[:4], "little")
        symbol, code, check = found[4 : 4 + size].decode(), found[36 + size :], found[4 + size : 36 + size]
        if hashlib.sha256(code).digest() == check:
            return _load(symbol, code)
    except (OSError, ValueError, UnicodeDecodeError):
        pass
    symbol, code = _compile(kernel)
    _keep(file, symbol, code)
    return _load(symbol, code)


def _keep(file: Path, symbol: str, code: bytes) -> None:
    """Store object code; a cache that cannot be written only costs time."""
    name = symbol.encode()
    temporary = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(len(name).to_bytes(4, "little") + name + hashlib.sha256(code).digest() + code)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)


@cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for symbol in _OPTIONAL:
        if not llvm.address_of_symbol(symbol):
            llvm.add_symbol(symbol, 1)
    machine = llvm.Target.from_default_triple().create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _load(symbol: str, code: bytes) -> int:
    import llvmlite.binding as llvm

    engine, held = _engine(), llvm.ObjectFileRef.from_data(code)
    _objects.append(held)
    engine.add_object_file(held)
    engine.finalize_object()
    found = engine.get_function_address(symbol)
    assert found, f"kernel symbol {symbol} must be in its object code"
    return int(found)


def _make_scalars_callable() -> None:
    """Let compiled code call the functions marked with `scalar` since the last time."""
    from numba.extending import register_jitable

    for function in SCALARS[len(_registered) :]:
        register_jitable(function)
        _registered.append(function)


def _compile(kernel: Kernel) -> tuple[str, bytes]:
    from numba import cfunc, types

    function = kernel.factory(*kernel.params)
    _make_scalars_callable()
    compiled = cfunc(types.void(*[types.intp] * kernel.arity), nopython=True, error_model="numpy")(function)
    _, _, data = compiled._library.serialize_using_object_code()
    return compiled._wrapper_name, data[0]


_signature = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t)


def call(entry: int, args: int, arena: int) -> None:
    """Call a kernel by its address; other Python threads run meanwhile."""
    _signature(entry)(args, arena)
