"""A processor's dot-product instructions (VNNI, SDOT, SMLAD, vrmpy) in a register-blocked matrix product.

One instruction does the products of `unroll`: C of them into each of OX x K sums.  `block` outputs stay in registers, so that its
products share the loads: each step of C products loads block.OX x C inputs and block.K x C weights through `ports.both`.  Blocks at
the edges count in full (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008).
"""

from __future__ import annotations

from math import ceil

from hwsim import formats
from hwsim.arrays._shape import product
from hwsim.mac_array import BlockSize, MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Products and loads are issued side by side: the longer of the two counts."""
    p, u = product(layer), array.unroll[0]
    block = array.block or BlockSize(OX=u.OX, K=u.K)
    blocks = p.groups * ceil(p.m / block.OX) * ceil(p.n / block.K)
    deep = ceil(p.k / u.C)
    instructions = blocks * deep * ceil(block.OX / u.OX) * ceil(block.K / u.K)
    loads = {"inputs": blocks * deep * u.C * block.OX, "weights": blocks * deep * u.C * block.K}
    bits = loads["inputs"] * formats.get(layer.activation).bits + loads["weights"] * formats.get(layer.weight).bits
    stages = {"multiply": ceil(instructions / (layer.rate * u.rate))}
    if array.ports and array.ports.both:
        stages["load"] = ceil(bits / array.ports.both.per_cycle(clock_hz))
    slots = instructions * u.multipliers
    return Work(u.loops, stages, slots, slots, loads, {"outputs": p.outputs})
