"""Accumulators that are narrower than 32 bits or saturate on the way, with the exact count of outputs whose sum was ever changed.

A `Cut` takes the place of the plain sum in the micro-kernel (`tile`).  Products come in kernel order, four channels a step of the
dot.  Memory holds unsigned bytes u; the numbers that the accumulator multiplies are u - `offset`, which is added block by block as
`shift` = -offset times the block's weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.plain import plain_sums

__all__ = [
    "CUT_ARGS",
    "Bench",
    "Cut",
    "Held",
    "Room",
    "Wrapped",
    "add_block",
    "add_row",
    "all_of",
    "blocks",
    "changed",
    "clamped",
    "count",
    "flatten",
    "held_from",
    "limits",
    "put",
    "table",
    "values",
    "walk",
    "wrapped",
]

CUT_ARGS = (
    "bits",  # of the accumulator
    "offset",  # what memory holds less this is multiplied
    "shift",  # address of int32 [panel][block][output]: what the offset adds to a block
    "above",  # the same shape: a sum above this before a block might saturate in it
    "below",
    "order",  # address of int32 [panel][step]: byte offset of the step's activations, those whose pairs might saturate first
    "paired",  # address of int32 [panel]: how many these are
    "words",  # address of int32 [panel][product][output]: weights, scaled, as pairs of words
    "turned",  # address of int16 [panel][step][vector][2][output]: magnitudes, and where the sign is another than in the step before
    "w_zero",  # address of int32: of each output channel
    "depth",  # products of a run
    "flags",  # arena offset of a tile's worth of int32
    "wide_start",  # address of int64: what each output channel's sum of 64 bits starts from
    "overflowed",  # arena offset of the count (int64)
)
Held = list[list[Variable]]


@dataclass(frozen=True)
class Room:
    """What the sums of a tile need of the registers; as it stands, what plain sums do."""

    registers: int = 1  # for every sum
    reserved: int = 0  # for none of them
    most: int = 0  # vectors of outputs in a tile; 0: as for plain sums
    even: bool = False  # whether they must be an even number
    rows: int = 0  # pixels in a tile; 0: as many as the registers hold


@dataclass(frozen=True)
class Cut(ABC):
    """How sums are cut; `steps` of the dot are a block, `shifted` says that the offset is not 0."""

    steps: int = 1
    shifted: bool = False
    room: ClassVar[Room] = Room()

    @abstractmethod
    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        """The sums of a tile, and lanes that are not 0 where they were changed."""


def limits(k: Code, like: Lanes) -> tuple[Lanes, Lanes]:
    """The accumulator's lowest and highest number in lanes."""
    half = (k.number("i64", 1) << (k["bits"] - 1)).to("i64")
    low, high = (v.to(like.kind).spread(like.lanes) for v in (-half, half - 1))
    return low, high


def held_from(k: Code, rows: int, start: list[Lanes]) -> Held:
    return [[k.variable(s) for s in start] for _ in range(rows)]


def values(held: Held) -> Sums:
    return [[v.get() for v in row] for row in held]


def put(held: Held, sums: Sums) -> None:
    for row, made in zip(held, sums, strict=True):
        for variable, value in zip(row, made, strict=True):
            variable.set(value)


def changed(flags: Sums, before: Sums, after: Sums) -> Sums:
    """The flags, and not 0 too where a sum was cut."""
    return [[f | (b ^ a) for f, b, a in zip(*rows, strict=True)] for rows in zip(flags, before, after, strict=True)]


@contextmanager
def blocks(
    k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, width: int, steps: int
) -> Iterator[tuple[list[Lanes], Lanes, Lanes, Lanes]]:
    """All blocks in order: addresses of the activations, address of the weights, the block's number, and its steps (the last block of a
    run may have fewer)."""
    at, number = k.variable(weights), k.variable(k.number("i64", 0))
    with k.loop(k["taps"]) as tap:
        offset = k.load("i32", k["tap_table"] + 4 * tap, align=4).to("i64")
        with k.loop(k["steps"], step=steps) as first:
            count = (k["steps"] - first).at_most(steps)
            yield [p + offset + dot.x_bytes * first for p in pixels], at.get(), number.get(), count
            at.set(at.get() + count * (width * dot.w_bytes))
            number.set(number.get() + 1)


def walk(
    k: Code, pixels: list[Lanes], order: Lanes, weights: Lanes, vectors: int, first: Lanes, last: Lanes
) -> Iterator[tuple[list[Lanes], Lanes]]:
    """The steps of four bytes from `first` to `last`: the addresses of each pixel's numbers, and that of the weights."""
    with k.loop(last, start=first) as i:
        offset = k.load("i32", order + 4 * i, align=4).to("i64")
        yield [p + offset for p in pixels], weights + i * (4 * host.lanes() * vectors)


def table(k: Code, name: str, panel: Lanes, number: Lanes, count: Lanes, vectors: int) -> list[Lanes]:
    """The block's row of a table [panel][block][output]."""
    lanes = host.lanes()
    row = k[name] + (panel * count + number) * (4 * vectors * lanes)
    return [k.load("i32", row + 4 * lanes * j, lanes) for j in range(vectors)]


def add_block(k: Code, dot: Dot, held: Held, here: list[Lanes], weights: Lanes, steps: int) -> None:
    """All products of a block, four steps to a turn of a loop."""
    turn = 4 if steps > 4 and steps % 4 == 0 else 1 if steps > 4 else steps
    if turn == steps:
        _add_steps(k, dot, held, here, weights, steps)
        return
    with k.loop(k.number("i64", steps), step=turn) as i:
        _add_steps(k, dot, held, [p + dot.x_bytes * i for p in here], weights + i * (len(held[0]) * host.lanes() * dot.w_bytes), turn)


def _add_steps(k: Code, dot: Dot, held: Held, here: list[Lanes], weights: Lanes, steps: int) -> None:
    width, sums = len(held[0]) * host.lanes(), values(held)
    for n in range(steps):
        sums = dot.step(k, sums, [p + dot.x_bytes * n for p in here], weights + n * width * dot.w_bytes)
    put(held, sums)


def add_row(held: Held, row: list[Lanes]) -> None:
    put(held, [[v.get() + s for v, s in zip(r, row, strict=True)] for r in held])


def clamped(sums: Sums, low: Lanes, high: Lanes) -> Sums:
    return [[v.at_least(low).at_most(high) for v in row] for row in sums]


@dataclass(frozen=True)
class Wrapped(Cut):
    """Two's complement wrap to `bits` bits: the same after every product or once at the end."""

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        return wrapped(k, plain_sums(k, dot, pixels, weights, start))


def wrapped(k: Code, sums: Sums) -> tuple[Sums, Sums]:
    """Whole sums wrapped, and lanes that are not 0 where that changed them."""
    away = (32 - k["bits"]).to("i32").spread(sums[0][0].lanes)
    cut = [[(v << away) >> away for v in row] for row in sums]
    return cut, [[v ^ c for v, c in zip(*rows, strict=True)] for rows in zip(sums, cut, strict=True)]


class Bench:
    """Memory for one tile: two planes of vectors [row][vector], the addresses of the rows' activations, what is free."""

    def __init__(self, k: Code, rows: int, vectors: int, kind: str = "i32") -> None:
        self.k, self.rows, self.vectors, self.kind, self.base = k, rows, vectors, kind, k.arena + k["flags"]
        self.lanes = 4 * host.lanes() // k.size(kind)
        self.pixels = self.base + 2 * rows * vectors * 4 * host.lanes()
        self.free = self.pixels + 8 * rows

    def _at(self, plane: int, row: int | Lanes, vector: int) -> Lanes:
        first = row * (4 * host.lanes() * self.vectors)
        return self.base + (plane * self.rows * self.vectors + vector) * 4 * host.lanes() + first

    def put(self, plane: int, sums: Sums) -> None:
        for r, row in enumerate(sums):
            for j, v in enumerate(row):
                self.k.store(v, self._at(plane, r, j))

    def get(self, plane: int) -> Sums:
        return [[self.k.load(self.kind, self._at(plane, r, j), self.lanes) for j in range(self.vectors)] for r in range(self.rows)]

    def row(self, plane: int, row: Lanes) -> list[Variable]:
        return [self.k.variable(self.k.load(self.kind, self._at(plane, row, j), self.lanes)) for j in range(self.vectors)]

    def put_row(self, plane: int, row: Lanes, held: list[Variable]) -> None:
        for j, v in enumerate(held):
            self.k.store(v.get(), self._at(plane, row, j))

    def put_pixels(self, pixels: list[Lanes]) -> None:
        for r, p in enumerate(pixels):
            self.k.store(p, self.pixels + 8 * r)

    def pixel(self, row: Lanes) -> Lanes:
        return self.k.load("i64", self.pixels + 8 * row)


def all_of(flags: list[Lanes]) -> Lanes:
    """Whether no lane is 0."""
    found = flags[0] != 0
    for f in flags[1:]:
        found = found & (f != 0)
    return found.reduce("and")


def flatten(sums: Sums) -> list[Lanes]:
    return [v for row in sums for v in row]


def count(k: Code, flags: Sums, pixel: Lanes, left: Lanes) -> None:
    """Add the outputs that were changed to the count: of real pixels, and of the `left` real channels."""
    lanes, at = host.lanes(), k.arena + k["overflowed"]
    total: Lanes | None = None
    for i, row in enumerate(flags):
        real = (pixel + i < k["pixels"]).to("i32")
        for j, f in enumerate(row):
            mask = (f != 0) & k.among(left - lanes * j, lanes)
            ones = mask.to("i32") * real
            total = ones if total is None else total + ones
    assert total is not None
    k.store(k.load("i64", at, align=8) + total.reduce("add").to("i64"), at, align=8)
