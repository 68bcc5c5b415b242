"""BitFusion: fusion units of 8 bits whose 2-bit bricks join for wider operands (Sharma et al., ISCA 2018).

C units lie along the reduction, K along the outputs.  Narrow operands lengthen the reduction: a unit makes floor(8/a) floor(8/w)
products, so channels pad to C times that (hsharma35/bitfusion, simulator; the factor is `layer.rate`).  A kernel position is a step
of its own, except where few channels are laid out as im2col does (`most_channels` of an unrolling over C and FX, or FY).
"""

from __future__ import annotations

from math import ceil

from hwsim.arrays._shape import loops_of, product
from hwsim.mac_array import MacArray, Unroll
from hwsim.mapping import Work
from hwsim.program import Layer, mac_kind

__all__ = ["reduction_steps", "work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Cycles of the whole layer as one tile, by the unrolling that needs the fewest."""
    p = product(layer)
    best = min(array.modes(mac_kind(layer.steps[0]), loops_of(layer).C, p.m), key=lambda u: _cycles(layer, u))
    cycles, lanes = _cycles(layer, best), best.multipliers * round(layer.rate)
    steps = p.groups * p.m * ceil(p.n / best.K)
    reads = {"inputs": steps * p.k, "weights": p.groups * p.m * p.n * p.k}
    return Work(best.loops, {"multiply": cycles}, cycles * lanes, cycles * lanes, reads, {"outputs": p.outputs})


def _cycles(layer: Layer, u: Unroll) -> int:
    p, loops = product(layer), loops_of(layer)
    im2col = u.FX * u.FY > 1
    return p.groups * p.m * ceil(p.n / u.K) * reduction_steps(loops.C, loops.FY * loops.FX, u, layer.rate, im2col)


def reduction_steps(channels: int, kernel: int, u: Unroll, rate: float, im2col: bool) -> int:
    """Steps over the products of one sum."""
    lanes = u.C * u.FX * u.FY * round(rate)
    return ceil(channels * kernel / lanes) if im2col else kernel * ceil(channels / lanes)
