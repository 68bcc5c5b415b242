"""Cores (streaming multiprocessors) that each take blocks of outputs: padding to blocks, and waves that do not fill all cores.

A block of bm positions x bn outputs takes bm bn K / rate for its products, and (bm + bn) K operands come through the core's port
before them; ceil(blocks / cores) waves follow one another (NVIDIA, "Matrix multiplication background user's guide": tile and wave
quantization).  Weights stored in fewer bits than are multiplied are widened by the core for each of its blocks, by the warps that
issue the products and before them, where the array states how fast (`unpack`).  Of all blocks that are powers of two from the fragment
to 256 the fastest is taken, unless `block` gives one.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from hwsim import formats
from hwsim.arrays._shape import Product, loops_of, product
from hwsim.mac_array import MacArray, Unroll
from hwsim.mapping import Work
from hwsim.program import Layer, mac_kind

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
    unroll: Unroll


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Cycles of the waves, each operand's fetches by block."""
    p = product(layer)
    best = min(_choices(array, layer, p, clock_hz), key=lambda b: b[:4])
    mapped = best.waves * array.cores * best.bm * best.bn * _depth(p, best.unroll)
    multiply, wait = ceil(best.multiply), ceil(best.wait)
    reads = {"inputs": p.groups * p.m * p.k * ceil(p.n / best.bn), "weights": p.groups * p.n * p.k * ceil(p.m / best.bm)}
    slots = max(ceil((multiply + wait) * layer.rate * best.unroll.rate * array.multipliers), mapped)
    how = f"blocks of {best.bm} x {best.bn}, {best.waves} waves"
    return Work({"OX": best.bm, "K": best.bn}, {"multiply": multiply}, slots, mapped, reads, {"outputs": p.outputs}, how, wait)


def _choices(array: MacArray, layer: Layer, p: Product, clock_hz: float) -> list[Blocks]:
    modes = array.modes(mac_kind(layer.steps[0]), loops_of(layer).C, p.m)
    return [_timed(array, u, layer, p, bm, bn, clock_hz) for u in modes for bm in _sizes(array, u, "OX") for bn in _sizes(array, u, "K")]


def _sizes(array: MacArray, u: Unroll, loop: str) -> list[int]:
    """Block sizes along one loop: doubled from what one step of a core covers."""
    if array.block is not None:
        return [getattr(array.block, loop)]
    first = getattr(u, loop)
    return [first << i for i in range(max(LARGEST // first, 1).bit_length())]


def _depth(p: Product, u: Unroll) -> int:
    return ceil(p.k / u.C) * u.C


def _timed(array: MacArray, u: Unroll, layer: Layer, p: Product, bm: int, bn: int, clock_hz: float) -> Blocks:
    waves, k = ceil(p.groups * ceil(p.m / bm) * ceil(p.n / bn) / array.cores), _depth(p, u)
    multiply = bm * bn * k / (u.multipliers * layer.rate * u.rate)
    widths = formats.get(layer.activation).bits, formats.get(layer.weight).bits
    feed = k * (bm * widths[0] + bn * widths[1]) / array.ports.both.per_cycle(clock_hz) if array.ports and array.ports.both else 0.0
    unpack = bn * k / array.unpack.per_cycle(clock_hz) if array.unpack and layer.precision != layer.stored else 0.0
    fetched = p.m * ceil(p.n / bn) + p.n * ceil(p.m / bm)
    cycles = waves * (multiply / array.efficiency.get(layer.precision, 1.0) + unpack + feed)
    return Blocks(cycles, fetched, bm, bn, waves, waves * multiply, waves * (unpack + feed), u)
