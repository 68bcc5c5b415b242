"""Cores (streaming multiprocessors) that each take blocks of outputs: padding to blocks, and waves that do not fill all cores.

A block of bm positions x bn outputs takes bm bn K / rate for its products, and (bm + bn) K operands come through the core's port
before them; ceil(blocks / cores) waves follow one another (NVIDIA, "Matrix multiplication background user's guide": tile and wave
quantization).  Of all blocks that are powers of two from the fragment to 256 the fastest is taken, unless `block` gives one.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from hwsim import formats
from hwsim.arrays._shape import Product, product
from hwsim.mac_array import MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["work"]

LARGEST = 256


class Blocks(NamedTuple):
    """A choice of blocks, the fastest first: cycles at the share of the rate that is reached, then operands fetched."""

    cycles: float
    fetched: int
    bm: int
    bn: int
    waves: int
    multiply: float
    wait: float


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Cycles of the waves, each operand's fetches by block."""
    p, u = product(layer), array.unroll[0]
    k = ceil(p.k / u.C) * u.C
    best = min(_choices(array, layer, p, k, clock_hz))
    mapped = best.waves * array.cores * best.bm * best.bn * k
    multiply, wait = ceil(best.multiply), ceil(best.wait)
    reads = {"inputs": p.groups * p.m * p.k * ceil(p.n / best.bn), "weights": p.groups * p.n * p.k * ceil(p.m / best.bm)}
    slots = max(ceil((multiply + wait) * layer.rate * u.rate * array.multipliers), mapped)
    how = f"blocks of {best.bm} x {best.bn}, {best.waves} waves"
    return Work({"OX": best.bm, "K": best.bn}, {"multiply": multiply}, slots, mapped, reads, {"outputs": p.outputs}, how, wait)


def _choices(array: MacArray, layer: Layer, p: Product, k: int, clock_hz: float) -> list[Blocks]:
    return [_timed(array, layer, p, k, bm, bn, clock_hz) for bm in _sizes(array, "OX") for bn in _sizes(array, "K")]


def _sizes(array: MacArray, loop: str) -> list[int]:
    """Block sizes along one loop: doubled from what one step of a core covers."""
    if array.block is not None:
        return [getattr(array.block, loop)]
    first = getattr(array.unroll[0], loop)
    return [first << i for i in range(max(LARGEST // first, 1).bit_length())]


def _timed(array: MacArray, layer: Layer, p: Product, k: int, bm: int, bn: int, clock_hz: float) -> Blocks:
    waves = ceil(p.groups * ceil(p.m / bm) * ceil(p.n / bn) / array.cores)
    u = array.unroll[0]
    multiply = bm * bn * k / (u.multipliers * layer.rate * u.rate)
    bits = k * (bm * formats.get(layer.activation).bits + bn * formats.get(layer.weight).bits)
    feed = bits / array.ports.both.per_cycle(clock_hz) if array.ports and array.ports.both else 0.0
    fetched = p.m * ceil(p.n / bn) + p.n * ceil(p.m / bm)
    cycles = waves * (multiply / array.efficiency.get(layer.precision, 1.0) + feed)
    return Blocks(cycles, fetched, bm, bn, waves, waves * multiply, waves * feed)
