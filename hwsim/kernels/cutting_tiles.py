"""Saturation after every so many products: what a systolic column of as many rows hands over.

Sums are kept less the accumulator's lowest number, so that those inside its limits have no bit above its width: one look at all sums of
a tile together tells whether any is to be cut, and what was cut is noted in memory then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import (
    Bench,
    Cut,
    Held,
    Room,
    add_block,
    add_row,
    blocks,
    changed,
    clamped,
    flatten,
    held_from,
    limits,
    put,
    table,
    values,
    walk,
)
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["AcrossRuns", "EachTile"]


@dataclass(frozen=True)
class EachTile(Cut):
    """Saturated after every block of `steps`, which divide a run."""

    room = Room(reserved=3)

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        held, noted = _begun(k, len(pixels), start)
        count = k["taps"] * (k["steps"] // self.steps)
        with blocks(k, dot, pixels, weights, len(start) * host.lanes(), self.steps) as (here, w, number, _):
            add_block(k, dot, held, here, w, self.steps)
            _saturate(k, held, noted, table(k, "shift", panel, number, count, len(start)) if self.shifted else [])
        return _ended(k, held, noted)


@dataclass(frozen=True)
class AcrossRuns(Cut):
    """Saturated after every block of `tile` steps, wherever it begins in a run and in whichever it ends: each step is a run of its own."""

    tile: int = 1
    room = EachTile.room

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        held, noted = _begun(k, len(pixels), start)
        steps, number = k["taps"] * k["steps"], k.variable(k.number("i64", 0))
        count = (steps + self.tile - 1) // self.tile
        with k.loop(steps, step=self.tile) as first:
            for here, w in walk(k, pixels, k["tap_table"], weights, len(start), first, (first + self.tile).at_most(steps)):
                put(held, dot.step(k, values(held), here, w))
            _saturate(k, held, noted, table(k, "shift", panel, number.get(), count, len(start)) if self.shifted else [])
            number.set(number.get() + 1)
        return _ended(k, held, noted)


def _begun(k: Code, rows: int, start: list[Lanes]) -> tuple[Held, Bench]:
    """The sums before the first product, and memory for what is cut of them."""
    low, high = limits(k, start[0])
    first, noted = clamped([start], low, high)[0], Bench(k, rows, len(start))
    noted.put(0, [[s ^ c for s, c in zip(start, first, strict=True)]] * rows)
    return held_from(k, rows, [c - low for c in first]), noted


def _saturate(k: Code, held: Held, noted: Bench, shift: list[Lanes]) -> None:
    if shift:
        add_row(held, shift)
    sums = values(held)
    low, high = limits(k, sums[0][0])
    with k.when(((reduce(or_, flatten(sums)) & (low << 1)) != 0).reduce("or")):
        cut = clamped(sums, low.constant(0), high - low)
        noted.put(0, changed(noted.get(0), sums, cut))
        put(held, cut)


def _ended(k: Code, held: Held, noted: Bench) -> tuple[Sums, Sums]:
    """The sums, and lanes that are not 0 where they were cut."""
    low, _ = limits(k, held[0][0].get())
    return [[v.get() + low for v in row] for row in held], noted.get(0)
