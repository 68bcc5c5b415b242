"""Kernel of linear interpolation along one axis of float32 numbers."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.integers import Table

__all__ = ["BLEND_ARGS", "blend"]

BLEND_ARGS = ("x", "y", "outer", "size", "out", "inner", "low", "high", "weights")


def blend() -> str:
    """Kernel of BLEND_ARGS: y[o, j] = x[o, low[j]] (1 - weights[j]) + x[o, high[j]] weights[j], each operation rounded.

    x, y: arena offsets of (outer, size, inner) and (outer, out, inner) numbers; taps (int64) and weights (float32) are addresses.
    """
    k = Code(BLEND_ARGS)
    lanes, low, high, weights = host.lanes(), Table(k, "i64", k["low"]), Table(k, "i64", k["high"]), Table(k, "f32", k["weights"])
    with k.loop(k["outer"]) as o, k.loop(k["out"]) as j:
        first, second = (k.arena + k["x"] + 4 * (o * k["size"] + tap[j]) * k["inner"] for tap in (low, high))
        y, weight = k.arena + k["y"] + 4 * (o * k["out"] + j) * k["inner"], weights[j]
        with k.loop(k["inner"], step=lanes) as i:
            v = k.load("f32", first + 4 * i, lanes) * (1.0 - weight) + k.load("f32", second + 4 * i, lanes) * weight
            k.store_first(v, y + 4 * i, k["inner"] - i)
    return k.finished()
