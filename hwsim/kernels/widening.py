"""Bytes made signed words, for processors that multiply words."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["WIDEN_ARGS", "widen"]

WIDEN_ARGS = ("x", "y", "count")


def widen() -> str:
    """Kernel: the `count` unsigned bytes at arena offset x as signed words at y; both may be passed by a vector."""
    k = Code(WIDEN_ARGS)
    lanes = 2 * host.lanes()
    with k.loop(k["count"], step=lanes) as i:
        k.store(k.load("u8", k.arena + k["x"] + i, lanes).to("i16"), k.arena + k["y"] + 2 * i)
    return k.finished()
