"""What is on the shelves, and the state of the machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hwsim.errors import HwsimError, suggest
from hwsim.kernels.compiling import cache_folder
from hwsim.kernels.host import host_cpu
from hwsim.shelf import SHELVES, load, names
from hwsim.units import format_bytes

__all__ = ["catalogue", "diagnose"]

VECTOR_FEATURES = (
    "sse4.1",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avxvnni",
    "avx512vnni",
    "amx-int8",
    "neon",
    "dotprod",
    "i8mm",
    "sve",
)
Table = tuple[tuple[str, ...], list[list[Any]]]


def catalogue(what: str) -> Table:
    """Columns and rows of one list.  Raises HwsimError for an unknown one."""
    lists = (*(s for s in SHELVES if s != "topologies"), "networks", "operators", "metrics")
    if what not in lists:
        raise HwsimError("list", f"must be one of {', '.join(lists)}", repr(what), suggest(what, lists))
    if what == "operators":
        return _operators()
    if what == "networks":
        from hwsim.topologies import networks

        return ("name", "family"), [[n, _first_line(m)] for n, m in networks().items()]
    if what == "metrics":
        from hwsim.steps.score import METRICS

        return ("name",), [[n] for n in METRICS]
    if what == "quantizers":
        return ("name", "needs", "what"), [[n, *_needs(load(what, n)), _first_line(load(what, n))] for n in names(what)]
    return ("name", "what"), [[n, _first_line(load(what, n))] for n in names(what)]


def _needs(quantizer: Any) -> list[str]:
    """What hardware a quantizer asks for beside integers of the width."""
    return [getattr(quantizer, "NEEDS", "plain integers")]


def _operators() -> Table:
    """Every source operator with the file that reads it and how it can run."""
    from hwsim.ops import readers

    rows = []
    for kind, read in sorted(readers().items()):
        op = next(n for n in names("ops") if load("ops", n).READS.get(kind) is read)
        module = load("ops", op)
        integer = "integer" if hasattr(module, "integer") else "moves" if getattr(module, "MOVES", False) else "real"
        rows.append([kind, op, integer, "yes" if hasattr(module, "loops") else ""])
    return ("operator", "op", "on_stored_numbers", "multiplies"), rows


def _first_line(module: Any) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]


def diagnose() -> list[list[str]]:
    """Versions, processor and caches."""
    rows = [["hwsim", version("hwsim")], ["python", sys.version.split()[0]], ["platform", platform.platform()]]
    for package in ("numpy", "numba", "llvmlite", "onnx", "pydantic", "scipy", "simpy", "networkx", "matplotlib", "onnxruntime", "torch"):
        try:
            rows.append([package, version(package)])
        except PackageNotFoundError:
            rows.append([package, "not installed"])
    return [*rows, *_compiler()]


def _compiler() -> list[list[str]]:
    """The processor that kernels are compiled for, the vector extensions that hwsim's kernels can use, and the kernels kept."""
    name, features = host_cpu()
    have = [f for f in VECTOR_FEATURES if f"+{f}" in features.split(",")]
    kept = list(cache_folder().glob("*.o"))
    size = sum(f.stat().st_size for f in kept)
    return [
        ["processor", f"{name}, {os.cpu_count()} cores"],
        ["vector extensions", " ".join(have) or "none"],
        ["kernel cache", f"{cache_folder()}: {len(kept)} kernels, {format_bytes(size)}"],
    ]
