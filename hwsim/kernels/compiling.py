"""Kernels compiled once; their object code is kept on disk and loaded later by llvmlite alone.

A factory gives a text of LLVM IR (`code.Code` writes it) or a Python function, which Numba compiles: the first for what is hot or
met by every network, the second for loops whose cost does not matter.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwsim.kernels.host import host_cpu

__all__ = ["Kernel", "address", "cache_folder", "call", "entry"]

KEPT_FOLDERS = 16
_objects: list[Any] = []


@dataclass(frozen=True)
class Kernel:
    """A kernel by its factory and the factory's arguments: plain values, and what prints as all that it stands for."""

    factory: Callable[..., Any]
    params: tuple[Any, ...] = ()
    arity: int = 2

    @property
    def name(self) -> str:
        shown = [f"{p.__module__}.{p.__qualname__}" if callable(p) else repr(p) for p in self.params]
        return f"{self.factory.__module__}.{self.factory.__qualname__}({', '.join(shown)})"


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
    file = cache_folder() / f"{_digest(kernel)}.o"
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


def _digest(kernel: Kernel) -> str:
    return hashlib.sha256(kernel.name.encode()).hexdigest()[:32]


def _keep(file: Path, symbols: list[str], code: bytes) -> None:
    """Store object code: a digest, a line with the kernel's symbol and those it needs, the code.

    A cache that cannot be written only costs time.
    """
    body = " ".join(symbols).encode() + b"\n" + code
    temporary = file.with_suffix(f".{os.getpid()}.part")
    try:
        if not file.parent.exists():
            _prune(file.parent.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(body).digest() + body)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)


def _prune(base: Path) -> None:
    """Forget the folders of kernels that were used longest ago, where there are many versions and processors."""
    folders = sorted((f for f in base.glob("*") if f.is_dir()), key=lambda f: f.stat().st_mtime) if base.exists() else []
    for folder in folders[: max(len(folders) - KEPT_FOLDERS + 1, 0)]:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    name, features = host_cpu()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=3)


def _engine() -> Any:
    """An engine of its own for every kernel: Numba calls inner functions the same in each process, and one engine keeps the first."""
    import llvmlite.binding as llvm

    _machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine())


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
    _objects.append((engine, held))
    engine.add_object_file(held)
    engine.finalize_object()
    found = engine.get_function_address(symbol)
    assert found, f"kernel symbol {symbol} must be in its object code"
    return int(found)


def _compile(kernel: Kernel) -> tuple[list[str], bytes]:
    """The symbols of a kernel (its own, then those it needs) and its object code."""
    made = kernel.factory(*kernel.params)
    return _compile_text(made, f"k{_digest(kernel)}") if isinstance(made, str) else _compile_function(made, kernel.arity)


def _compile_text(text: str, symbol: str) -> tuple[list[str], bytes]:
    """LLVM IR whose function is called `kernel`; its vectors are as they should be, so no pass looks for others."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(text.replace('@"kernel"', f'@"{symbol}"'))
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(module, llvm.create_pass_builder(machine, options))
    return [symbol], machine.emit_object(module)


def _compile_function(function: Callable[..., Any], arity: int) -> tuple[list[str], bytes]:
    from numba import cfunc, types

    compiled = cfunc(types.void(*[types.intp] * arity), nopython=True, error_model="numpy")(function)
    _, _, data = compiled._library.serialize_using_object_code()
    declared = re.findall(r'^declare [^@]*@"?([\w.$]+)"?\(', compiled._library.get_llvm_str(), re.MULTILINE)
    return [compiled._wrapper_name, *sorted(d for d in set(declared) if not d.startswith("llvm."))], data[0]


def call(place: int, *args: int) -> None:
    """Call a kernel by its address; other Python threads run meanwhile."""
    _signature(len(args))(place)(*args)


def entry(kernel: Kernel) -> Callable[..., None]:
    """A kernel as a function of words."""
    function: Callable[..., None] = _signature(kernel.arity)(address(kernel))
    return function


@cache
def _signature(count: int) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count)
