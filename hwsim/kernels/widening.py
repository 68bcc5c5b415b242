"""Bytes made signed words, for kernels that multiply words."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["WIDEN_ARGS", "twice", "widen"]

WIDEN_ARGS = ("x", "y", "count")


def widen() -> str:
    """Kernel: the `count` unsigned bytes at arena offset x as signed words at y; both may be passed by a vector."""
    k = Code(WIDEN_ARGS)
    lanes = 2 * host.lanes()
    with k.loop(k["count"], step=lanes) as i:
        k.store(k.load("u8", k.arena + k["x"] + i, lanes).to("i16"), k.arena + k["y"] + 2 * i)
    return k.finished()


def twice() -> str:
    """Kernel: the `count` unsigned bytes at arena offset x, each as two equal words at y; both may be passed by a vector."""
    k = Code(WIDEN_ARGS)
    lanes = host.lanes()
    with k.loop(k["count"], step=lanes) as i:
        number = k.load("u8", k.arena + k["x"] + i, lanes).to("i32")
        k.store((number << 16) | number, k.arena + k["y"] + 4 * i)
    return k.finished()
