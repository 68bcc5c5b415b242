"""Steps of the micro-kernel on real numbers: dense products summed in float64, and those of one channel each in float32.

`ops._real_sums` says why; a product of two float32 numbers is exact in float64, so it does not matter whether the processor fuses.
"""

from __future__ import annotations

from functools import partial

from hwsim.kernels.code import Code
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["CHANNELS", "ONCE", "REALS"]


def _reals(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes, kind: str = "f64") -> Sums:
    """A number of every pixel by one of every output."""
    lanes = sums[0][0].lanes
    columns = [k.load(kind, weights + k.size(kind) * lanes * j, lanes).to("f64") for j in range(len(sums[0]))]
    made = []
    for row, pixel in zip(sums, pixels, strict=True):
        number = k.load("f64", pixel)
        made.append([number.call("fmuladd", w, s) for s, w in zip(row, columns, strict=True)])
    return made


def _channels(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    """A number of every pixel's every channel by one of the same channel, each product rounded before it is added."""
    lanes, made = sums[0][0].lanes, []
    for row, pixel in zip(sums, pixels, strict=True):
        places = [4 * lanes * j for j in range(len(row))]
        made.append([s + k.load("f32", pixel + p, lanes) * k.load("f32", weights + p, lanes) for s, p in zip(row, places, strict=True)])
    return made


REALS = Dot("reals", 1, 8, 8, _reals, held="f64")
ONCE = Dot("once", 1, 8, 4, partial(_reals, kind="f32"), held="f64")  # weights read once wait for memory, of which these take half
CHANNELS = Dot("channels", 1, 4, 4, _channels, held="f32", apart=4)
