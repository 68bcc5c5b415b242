"""Operands go through one-bit (or few-bit) multipliers piece by piece: Stripes, Loom, BISMO, and the chip of HAQ's table.

`unroll` spreads C products of a sum, OX positions and K outputs; a step takes passes = ceil(w/weights) ceil(a/activations) cycles
(Judd et al., "Stripes", MICRO 2016; Sharify et al., "Loom", DAC 2018; Umuroglu et al., "BISMO", FPL 2018).

With ports of their own, operands stream in while the array works, and the slowest of three stages counts.  A column of C weight bits
takes fill = C / port cycles.  For T = ceil(positions / OX), kb = ceil(K / C) and M outputs, with K products in a sum
`multiply`     kb (M T + min(M, fill (T - 1))) passes;  depthwise: channels (T a + fill - 1) w
`weights`      fill kb (M + T - 1) w;                   depthwise: fill channels w;  fully connected: nothing, they stream past
`activations`  positions ceil(K / port) a;              depthwise: channels (positions of one image ceil(N K / port) a + w - 1)
These read the table of HAQ (Wang et al., CVPR 2019), whose simulator is not public, to 3.3 %.
"""

from __future__ import annotations

from math import ceil

from hwsim import formats
from hwsim.arrays._shape import Product, loops_of, product
from hwsim.mac_array import MacArray, Unroll
from hwsim.mapping import Work
from hwsim.program import Layer, mac_kind

__all__ = ["work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Stages of one layer; without ports the products alone."""
    p, u, kind = product(layer), array.unroll[0], mac_kind(layer.steps[0])
    passes = 1 / layer.rate / u.rate
    tiles = _tiles(p, u)
    stages = {"multiply": ceil(tiles * passes)}
    if array.ports and array.ports.weights and array.ports.activations:
        ports = array.ports.weights.per_cycle(clock_hz), array.ports.activations.per_cycle(clock_hz)
        stages = (_depthwise if kind == "depthwise" else _dense)(layer, p, u, *ports, passes)
        if kind == "matmul":
            stages.pop("weights")
    slots = max(stages["multiply"] * u.multipliers, p.outputs * p.k)
    reads = {"inputs": p.groups * p.m * p.k * ceil(p.n / u.K), "weights": p.groups * p.n * p.k * ceil(p.m / u.OX)}
    return Work(u.loops, stages, slots, tiles * u.multipliers, reads, {"outputs": p.outputs})


def _tiles(p: Product, u: Unroll) -> int:
    return p.groups * ceil(p.m / u.OX) * ceil(p.n / u.K) * ceil(p.k / u.C)


def _dense(layer: Layer, p: Product, u: Unroll, weight_port: float, activation_port: float, passes: float) -> dict[str, int]:
    w, a = formats.get(layer.weight).bits, formats.get(layer.activation).bits
    fill, t, kb, m = u.C / weight_port, ceil(p.m / u.OX), ceil(p.k / u.C), ceil(p.n / u.K)
    return {
        "multiply": ceil(p.groups * kb * (m * t + min(m, fill * (t - 1))) * passes),
        "weights": ceil(p.groups * fill * kb * (m + t - 1) * w),
        "activations": ceil(p.groups * p.m * ceil(p.k / activation_port) * a),
    }


def _depthwise(layer: Layer, p: Product, u: Unroll, weight_port: float, activation_port: float, passes: float) -> dict[str, int]:
    w, a = formats.get(layer.weight).bits, formats.get(layer.activation).bits
    fill, t, images = u.C / weight_port, ceil(p.m / u.OX), loops_of(layer).N
    channels = p.groups * p.n
    return {
        "multiply": ceil(channels * (t * passes + (fill - 1) * w)),
        "weights": ceil(fill * channels * w),
        "activations": ceil(channels * (p.m // images * ceil(images * p.k / activation_port) * a + w - 1)),
    }
