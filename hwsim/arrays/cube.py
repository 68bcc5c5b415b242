"""The Ascend cube: one step multiplies fractal matrices, M0 x K0 by K0 x N0 (Liao et al., "Ascend", HPCA 2021).

Channels lie in groups of K0 in memory (NC1HWC0), so that each kernel position pads them by itself; the cores take rows of fractals.
Channels of a depthwise layer lie on the diagonal of a fractal, as many as its side.
At half the rate (fp16) a step covers half of K0.
"""

from __future__ import annotations

from math import ceil

from hwsim.arrays._shape import loops_of, product
from hwsim.mac_array import MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """One step a fractal; the unrolling is OX (M0), C (K0) and K (N0)."""
    loops, u = loops_of(layer), array.unroll[0]
    p = product(layer)
    rate = layer.rate * u.rate
    deep = max(1, round(u.C * min(rate, 1.0)))
    side = min(u.K, deep) if loops.C == loops.K == 1 else 1
    down, across = ceil(p.m / u.OX), ceil(p.n / u.K)
    inner = loops.FY * loops.FX * ceil(loops.C / deep)
    steps = ceil(ceil(p.groups / side) * down * across / array.cores) * inner
    slots = steps * u.OX * u.K * deep * array.cores
    reads = {"inputs": p.groups * p.m * p.k * across, "weights": p.groups * p.n * p.k * down}
    return Work(u.loops, {"multiply": ceil(steps / max(rate, 1.0))}, slots, slots, reads, {"outputs": p.outputs})
