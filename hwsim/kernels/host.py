"""The processor that kernels are compiled for: the host's, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

__all__ = ["amx", "features", "has", "host_cpu", "lanes", "registers"]


def host_cpu() -> tuple[str, str]:
    """Name and features as LLVM writes them; an empty list of features means those that the name implies."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME", "") or "host"
    if name == "host":
        found = os.environ.get("NUMBA_CPU_FEATURES") or llvm.get_host_cpu_features().flatten()
        return llvm.get_host_cpu_name(), found
    return name, os.environ.get("NUMBA_CPU_FEATURES", "")


# The vector extensions of processors named without their features (LLVM's X86.td); any other gets what its architecture guarantees.
NAMED = {
    "haswell": ("avx2", "fma"),
    "skylake": ("avx2", "fma"),
    "znver3": ("avx2", "fma"),
    "skylake-avx512": ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq"),
}


@cache
def features() -> frozenset[str]:
    """The extensions that are there."""
    name, listed = host_cpu()
    if listed:
        return frozenset(f[1:] for f in listed.split(",") if f.startswith("+"))
    return frozenset(NAMED.get(name, ()))


def has(*wanted: str) -> bool:
    """Whether the processor has all of these extensions."""
    return features().issuperset(wanted)


def lanes() -> int:
    """32-bit numbers in one vector register."""
    return 16 if has("avx512f", "avx512bw", "avx512vl", "avx512dq") else 8 if has("avx2") else 4


def registers() -> int:
    """Vector registers."""
    return 32 if lanes() == 16 else 16


PERMIT, TILE_DATA, ARCH_PRCTL = 0x1023, 18, 158  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA and the call's number (Linux, x86-64)


@cache
def amx() -> bool:
    """Whether the processor multiplies tiles of bytes and the system lets this process: Linux wants to be asked
    (Documentation/arch/x86/xstate.rst)."""
    if not has("amx-tile", "amx-int8") or lanes() < 16 or sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).syscall(ARCH_PRCTL, PERMIT, TILE_DATA) == 0)
