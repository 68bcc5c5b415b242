"""An accumulator that cuts its sums, with the tables that its kernel reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.cutting import Cut
from hwsim.kernels.cutting_late import AtEnd, Late
from hwsim.kernels.cutting_macs import EachMac
from hwsim.kernels.cutting_pairs import EachPair
from hwsim.kernels.cutting_tiles import AcrossRuns
from hwsim.kernels.cutting_wide import Wide
from hwsim.kernels.cutting_words import EachWord
from hwsim.kernels.dots import WORDS, Dot
from hwsim.kernels.memory import Memory
from hwsim.kernels.packing import packed, padded
from hwsim.kernels.saturating import weight_shift
from hwsim.kernels.turning import turned
from hwsim.ops._lowering import Desk
from hwsim.quant import Array

__all__ = ["CutPlan", "pairs_beyond", "pairs_first", "steps_in"]


@dataclass(frozen=True, eq=False)
class CutPlan:
    """A cut to `bits` bits; the numbers that are multiplied lie between `low` and `high`, and memory holds them plus `offset`.

    `counter` and `flags` are arena offsets: of the count of overflowed outputs, and of the flags of one tile.
    """

    cut: Cut
    bits: int
    offset: int
    low: int
    high: int
    counter: int
    flags: int
    products: int = 0  # that make a sum
    tile: int = 1  # products between two cuts
    late: Array | None = None  # zero points of weights that are multiplied as they are stored
    before: Array | int = 0  # what sums begin with beside all else

    @property
    def whole(self) -> Cut:
        """The cut with what comes behind it."""
        return self.cut if self.late is None else Late(self.cut.steps, self.cut.shifted, cut=self.cut, saturated=self.bits < 32)

    def laid(self, runs: Array, offsets: Array, dot: Dot) -> tuple[Array, Array]:
        """Runs of weights filled up to whole blocks, and the byte offsets of their activations."""
        if isinstance(self.cut, AcrossRuns):
            return _steps_of(runs, offsets, self.tile, self.cut.tile)
        return np.pad(runs, ((0, 0), (0, 0), (0, -runs.shape[2] % (self.cut.steps * dot.channels)))), offsets

    def args(self, desk: Desk, runs: Array, offsets: Array, start: Array, dot: Dot, width: int, own: slice) -> dict[str, int]:
        """The arguments of the cut for weights (outputs, runs, depth), whose depth is whole blocks, activations at the byte offset of each
        run, and sums that begin at `start`; `own` are the outputs among those of all groups."""
        found = {"bits": self.bits, "offset": self.offset, "flags": self.flags, "overflowed": self.counter}
        found["depth"] = self.products // max(runs.shape[1], 1)
        if self.late is not None:
            found["w_zero"] = desk.keep(padded(self.late[own], np.int32, width))
        if isinstance(self.cut, Wide):
            return {**found, "wide_start": desk.keep(padded(start, np.int64, width))}
        if isinstance(self.cut, AcrossRuns | AtEnd):
            size = runs[0].size if isinstance(self.cut, AtEnd) else 4 * self.cut.tile
            flat = runs.reshape(len(runs), 1, -1).astype(np.int64)
            w = np.pad(flat, ((0, 0), (0, 0), (0, -flat.shape[2] % size))).reshape(len(runs), 1, -1, size)
        else:
            w = runs.reshape(len(runs), runs.shape[1], -1, self.cut.steps * dot.channels).astype(np.int64)
        if self.cut.shifted:
            found["shift"] = desk.keep(_table(-self.offset * w.sum(-1), width))
        if isinstance(self.cut, EachMac):
            up, down = (f(0, f(w * self.low, w * self.high)).sum(-1) for f in (np.maximum, np.minimum))
            limit = 1 << (self.bits - 1)
            found |= {"above": desk.keep(_table(limit - 1 - up, width)), "below": desk.keep(_table(-limit - down, width))}
            found["words"] = desk.keep(_words(runs, self.bits, width, desk.memory))
        if isinstance(self.cut, EachWord) and self.cut.turns:
            found["turned"] = desk.keep(_turned(runs, width, desk.memory))
        if isinstance(self.cut, EachPair):
            found |= self._ordered(desk, runs, offsets, width)
        return found

    def _ordered(self, desk: Desk, runs: Array, offsets: Array, width: int) -> dict[str, int]:
        """Where the activations of each panel's steps lie, in the order of `pairs_first`."""
        order, paired = order_of(runs, self.low, self.high, width)
        return {"order": desk.keep(_places(offsets, runs)[order].astype(np.int32)), "paired": desk.keep(paired.astype(np.int32))}


def steps_in(counts: int, depth: int, tile: int) -> int:
    """The most steps of four products, each from one run, that a tile of so many products takes in so many runs of a depth."""
    return max(len(t) for t in _tiles(counts, depth, tile))


def _tiles(counts: int, depth: int, tile: int) -> list[list[tuple[int, int, int]]]:
    """The steps (run, first product, products) of each tile."""
    found: list[list[tuple[int, int, int]]] = []
    for first in range(0, counts * depth, tile):
        steps, at, end = [], first, min(first + tile, counts * depth)
        while at < end:
            run, place = divmod(at, depth)
            size = min(4, depth - place, end - at)
            steps.append((run, place, size))
            at += size
        found.append(steps)
    return found


def _steps_of(runs: Array, offsets: Array, tile: int, steps: int) -> tuple[Array, Array]:
    """Each step of four products as a run of its own, so many for every tile but the last; missing products have weights of 0."""
    tiles = _tiles(runs.shape[1], runs.shape[2], tile)
    total = (len(tiles) - 1) * steps + len(tiles[-1])
    laid, places = np.zeros((len(runs), total, 4), runs.dtype), np.zeros(total, np.int32)
    for t, own in enumerate(tiles):
        for i, (run, place, size) in enumerate(own):
            laid[:, t * steps + i, :size] = runs[:, run, place : place + size]
            places[t * steps + i] = offsets[run] + place
    return laid, places


def _places(offsets: Array, runs: Array) -> Array:
    """Where the activations of all steps of four bytes lie, for runs at these byte offsets."""
    return (offsets[:, None] + 4 * np.arange(runs.shape[2] // 4)).ravel()


def pairs_beyond(weights: Array, low: int, high: int) -> Array:
    """How far, at most, each pair of an output's products (outputs, ...) can leave 16 bits."""
    pairs = weights.reshape(len(weights), -1, 2).astype(np.int64)
    up, down = (f(0, f(pairs * low, pairs * high)).sum(-1) for f in (np.maximum, np.minimum))
    return np.maximum(np.maximum(up - 32767, -32768 - down), 0)


def order_of(runs: Array, low: int, high: int, width: int) -> tuple[Array, Array]:
    """For each panel its steps of four products, and how many of them come first because a pair of some output can leave 16 bits.

    Those that can leave them furthest lead, so that the outputs of a tile are known to be cut soon.
    """
    beyond = pairs_beyond(runs, low, high).reshape(len(runs), -1, 2).sum(-1)
    reach = np.pad(beyond, ((0, -len(runs) % width), (0, 0))).reshape(-1, width, beyond.shape[1]).sum(1)
    return np.argsort(-reach, axis=1, kind="stable"), (reach > 0).sum(1)


def pairs_first(low: int, high: int) -> Callable[[Array, Dot, int, Memory], Array]:
    """`packed` with the steps of every panel in the order of `order_of`."""

    def pack(runs: Array, dot: Dot, vectors: int, memory: Memory) -> Array:
        width = vectors * host.lanes()
        order, _ = order_of(runs, low, high, width)
        held = packed(runs, dot, vectors, memory).view(np.int32)
        steps = held.reshape(*order.shape, width)
        steps[...] = np.take_along_axis(steps, order[:, :, None], 1)
        return held

    return pack


def _table(values: Array, width: int) -> Array:
    """Numbers (outputs, runs, blocks) as int32 [panel][run and block][output]; lanes behind the last output never matter."""
    flat = values.reshape(len(values), -1)
    full = np.zeros((-(-len(values) // width) * width, flat.shape[1]), np.int32)
    full[: len(values)] = np.clip(flat, -(1 << 31), (1 << 31) - 1)
    return full.reshape(-1, width, flat.shape[1]).transpose(0, 2, 1)


def _words(runs: Array, bits: int, width: int, memory: Memory) -> Array:
    """Weights as `kernels.saturating` reads them."""
    word = (runs.astype(np.int32) << weight_shift(bits)) & 65535
    return packed(word | (word << 16), replace(WORDS, w_bytes=4), width // host.lanes(), memory)


def _turned(runs: Array, width: int, memory: Memory) -> Array:
    """Magnitudes of the weights of each panel's vectors that `kernels.turning` takes, and -1 where the sign changes, 0 where it stays."""
    lanes, vectors = 2 * host.lanes(), width // (2 * host.lanes())
    weights = packed(runs, WORDS, 2 * vectors, Memory()).reshape(-(-len(runs) // width), -1, vectors, lanes)
    own = weights[:, :, vectors - turned(vectors) :]
    positive = ~(own >> 15)
    table = memory.take(2 * own.nbytes).view(np.int16).reshape(*own.shape[:3], 2, lanes)
    table[..., 0, :], table[..., 1, :] = np.abs(own), positive
    table[:, 1:, :, 1] ^= positive[:, :-1]
    return table
