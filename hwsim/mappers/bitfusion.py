"""Bit Fusion's own compiler: every tile and loop order of its simulator, the fewest cycles first, then the least energy.

Equals hsharma35/bitfusion (bitfusion/src/optimizer/optimizer.py, src/simulator) cycle by cycle and access by access.  A tile is
b images x o x o positions x ic channels x oc outputs, in powers of two; a buffer holds two of each.  A tensor's tile stays over the
inner loops for as long as all that they index of it fits.  Outputs and partial sums are as wide as the accumulator everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations, product
from math import ceil

import numpy as np

from hwsim import formats
from hwsim.arch import Arch
from hwsim.mapping import Mapping, Traffic, Work
from hwsim.program import Layer
from hwsim.quant import Array

__all__ = ["Shape", "lay_out", "search"]

LOOPS = ("B", "OW", "OH", "IC", "OC")
INDEXES = {"inputs": ("B", "OW", "OH", "IC"), "weights": ("IC", "OC"), "outputs": ("B", "OW", "OH", "OC")}
ORDERS = tuple(o for o in permutations(range(5)) if o.index(1) < o.index(2))


@dataclass(frozen=True)
class Shape:
    """One layer and the machine, as the search sees them; widths in bits, energies in pJ."""

    batch: int
    height: int
    width: int
    channels: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    bits: tuple[int, int, int]
    rate: int
    rows: int
    columns: int
    im2col: bool
    halves: tuple[float, float, float]
    port_bits: float
    cycle_pj: float
    read_pj: tuple[float, float, float, float]
    write_pj: tuple[float, float, float, float]


@dataclass(frozen=True)
class Found:
    """The best tile: cycles of compute, number of tiles, bits in and out of the buffers (inputs, weights, outputs) and of DRAM, and
    those that come before the first product and go after the last."""

    compute: int
    tiles: int
    reads: tuple[int, int, int]
    writes: tuple[int, int, int]
    dram: tuple[int, int]
    lead: tuple[int, int]
    fits: bool = True


def lay_out(layer: Layer, arch: Arch, given: object) -> Mapping:
    """The layer's mapping; the groups of a grouped convolution follow one another."""
    shape = _shape(layer, arch)
    groups, found = layer.loops.G if layer.loops else 1, search(shape)
    homes = [arch.path(o)[0] for o in INDEXES]
    dram = arch.path("weights")[-1]
    traffic = {m: Traffic() for m in arch.memories}
    for o, home, read, written in zip(INDEXES, homes, found.reads, found.writes, strict=True):
        traffic[home].add("read", o, groups * read)
        traffic[home].add("write", o, groups * written)
    traffic[dram].add("read", "all", groups * found.dram[0])
    traffic[dram].add("write", "outputs", groups * found.dram[1])
    lead = {dram: (groups * found.lead[0], groups * found.lead[1])}
    return Mapping(_work(layer, shape, found, groups), (), traffic, groups * found.tiles, fits=found.fits, lead=lead)


def _work(layer: Layer, shape: Shape, found: Found, groups: int) -> Work:
    slots = groups * found.compute * shape.rows * shape.columns * shape.rate
    reads = {o: groups * n // b for o, n, b in zip(INDEXES, found.reads, shape.bits, strict=True)}
    written = layer.loops.macs // (layer.loops.C * layer.loops.FY * layer.loops.FX) if layer.loops else 0
    unroll = {"C": shape.rows * shape.rate, "K": shape.columns}
    return Work(unroll, {"multiply": groups * found.compute}, slots, slots, reads, {"outputs": written}, "im2col" if shape.im2col else "")


def _shape(layer: Layer, arch: Arch) -> Shape:
    loops, array = layer.loops, arch.arrays[layer.unit]
    assert loops is not None
    whole = [u for u in array.unroll if u.most_channels is not None and u.most_channels >= loops.C]
    u = (whole or array.unroll)[0]
    memories = [arch.memories[arch.path(o)[0]] for o in INDEXES] + [arch.memories[arch.path("weights")[-1]]]
    halves = tuple((m.size or 1 << 62) / (2 if m.double_buffered else 1) for m in memories[:3])
    positions = (1, 1, loops.N * loops.OY * loops.OX) if layer.op == "matmul" else (loops.OY, loops.OX, loops.N)
    return Shape(
        positions[2],
        *positions[:2],
        loops.C,
        loops.K,
        (loops.FY, loops.FX),
        int((1, *layer.steps[0].node.attrs.get("strides", ()))[-1]),
        (formats.get(layer.activation).bits, formats.get(layer.weight).bits, layer.steps[0].accumulator.bits),
        round(layer.rate),
        u.C,
        u.K,
        bool(whole),
        (halves[0], halves[1], halves[2]),
        memories[3].read.per_cycle(arch.clock_hz),
        array.cycle_energy or 0.0,
        *((e[0] or 0.0, e[1] or 0.0, e[2] or 0.0, e[3] or 0.0) for e in _energies(memories)),
    )


def _energies(memories: list) -> tuple[list[float | None], list[float | None]]:
    return [m.read_energy for m in memories], [m.write_energy for m in memories]


def _halved(full: int, rounds: int, unit: int = 1) -> list[int]:
    """unit, 2 unit, 4 unit ... up to the full loop."""
    return list(dict.fromkeys(min(unit << i, full) for i in range((rounds - 1).bit_length() + 1)))


@lru_cache(maxsize=4096)
def search(s: Shape) -> Found:
    """The best of all legal tiles and loop orders; the smallest tile where none is."""
    span = max(s.height, s.width)
    outputs = _halved(s.outputs, s.outputs) if s.im2col else _halved(s.outputs, ceil(s.outputs / s.columns), s.columns)
    grid = np.array(list(product(_halved(s.batch, s.batch), _halved(span, span), _halved(s.channels, s.channels), outputs)), np.int64)
    tiles = _Tiles(s, *grid.T)
    legal = np.logical_and.reduce([v <= h for v, h in zip(tiles.volumes, s.halves, strict=True)])
    fits = bool(legal.any())
    return replace(_Tiles(s, *grid[legal if fits else slice(1)].T).best(), fits=fits)


class _Tiles:
    """All candidate tiles at once: arrays of one number a tile."""

    def __init__(self, s: Shape, b: Array, o: Array, ic: Array, oc: Array) -> None:
        self.s, self.kernel = s, s.kernel[0] * s.kernel[1]
        oh, ow = np.minimum(o, s.height), np.minimum(o, s.width)
        self.positions, self.ic, self.oc = b * oh * ow, ic, oc
        self.trips = np.array(
            [-(-n // t) for n, t in zip((s.batch, s.width, s.height, s.channels, s.outputs), (b, ow, oh, ic, oc), strict=True)]
        )
        self.count = np.prod(self.trips, 0)
        a, w, sums = s.bits
        lanes = s.rows * s.rate
        window = (s.kernel[0] + (oh - 1) * s.stride) * (s.kernel[1] + (ow - 1) * s.stride)
        inputs = self.positions * self.kernel * ic * a if s.im2col else window * ic * b * a
        self.volumes = (inputs, _padded(self.kernel * ic, lanes) * oc * w, self.positions * _padded(oc, s.columns) * sums)

    def best(self) -> Found:
        """The tile and order with the fewest cycles, then the least energy."""
        s, compute, accesses = self.s, self._compute(), self._accesses()
        moved, resident = zip(*(self._hoisted(v, o, h) for v, o, h in zip(self.volumes, INDEXES, s.halves, strict=True)), strict=True)
        first, last = sum(resident), resident[2]
        latency = _ceil(first, s.port_bits) + _ceil(last, s.port_bits)
        read, written = sum(moved), moved[2]
        cycles = np.maximum(compute, _ceil(read + written - first - last, s.port_bits)) + latency
        reads = [accesses[0] + 0 * read, accesses[1] + 0 * read, accesses[2] + written]
        writes = [moved[0], moved[1], accesses[2] + written]
        energy = compute * s.cycle_pj + sum(n * e for n, e in zip([*reads, read], s.read_pj, strict=True))
        energy = energy + sum(n * e for n, e in zip([*writes, written], s.write_pj, strict=True))
        order, tile = np.unravel_index(np.lexsort((energy.ravel(), cycles.ravel()))[0], cycles.shape)

        def at(values: list[Array]) -> tuple[int, ...]:
            return tuple(int(v[order, tile]) for v in values)

        pair = at([read, written]), at([first, last])
        return Found(int(compute[tile]), int(self.count[tile]), at(reads), at(writes), *pair)  # type: ignore[arg-type]

    def _compute(self) -> Array:
        """Cycles of the products; a kernel position is a step of its own unless the window lies in one row (im2col)."""
        s, lanes = self.s, self.s.rows * self.s.rate
        steps = -(-self.kernel * self.ic // lanes) if s.im2col else self.kernel * -(-self.ic // lanes)
        return self.count * self.positions * -(-self.oc // s.columns) * steps

    def _hoisted(self, volume: Array, operand: str, half: float) -> tuple[Array, Array]:
        """Bits moved over the whole layer and bits loaded before the first product, for every order (rows) and tile (columns)."""
        size = np.tile(volume, (len(ORDERS), 1))
        resident, stays = size.copy(), np.ones(size.shape, bool)
        for depth in range(5):
            loops = [o[depth] for o in ORDERS]
            indexed = np.array([LOOPS[n] in INDEXES[operand] for n in loops])[:, None]
            size = np.where(indexed | ~stays, size * self.trips[loops], size)
            fits = size <= half
            resident = np.where(stays & indexed & fits, size, resident)
            stays &= fits | ~indexed
        return size, resident

    def _accesses(self) -> tuple[Array, Array, Array]:
        """Bits that the products read of inputs, of weights, and read and write of sums, by the dataflow inside a tile."""
        s, (a, w, sums) = self.s, self.s.bits
        lanes, x, y, z = s.rows * s.rate, self.kernel * self.ic, self.positions, self.oc
        deep = _padded(x, lanes) if s.im2col else _padded(self.ic, lanes) * self.kernel
        wide = _padded(z, s.columns)
        costs = (deep * y * (a + wide * (w + sums)), wide * y * (sums + deep * (a + w)), deep * wide * (w + y * (a + sums)))
        choice, n = np.argmin(np.array(costs), 0), self.count
        inputs = np.where(choice == 0, n * x * y * a, n * x * y * z * a)
        weights = np.where(choice == 2, n * x * z * w, n * x * y * z * w)
        outputs = np.where(choice == 1, n * y * z * sums, n * x * y * z * sums)
        return inputs, weights, outputs


def _padded(values: Array, granule: int) -> Array:
    return -(-values // granule) * granule


def _ceil(bits: Array, per_cycle: float) -> Array:
    return np.ceil(bits / per_cycle).astype(np.int64)
