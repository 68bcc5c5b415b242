"""Saturation after every so many products: what a systolic column of as many rows hands over."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Cut, Held, Room, add_block, add_row, blocks, changed, clamped, held_from, limits, put, table, values, walk
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["AcrossRuns", "EachTile"]


@dataclass(frozen=True)
class EachTile(Cut):
    """Saturated after every block of `steps`, which divide a run."""

    room = Room(registers=2, reserved=6, most=2)

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        held, flags = _begun(k, len(pixels), start)
        count = k["taps"] * (k["steps"] // self.steps)
        with blocks(k, dot, pixels, weights, len(start) * host.lanes(), self.steps) as (here, w, number, _):
            add_block(k, dot, held, here, w, self.steps)
            _saturate(k, held, flags, table(k, "shift", panel, number, count, len(start)) if self.shifted else [])
        return values(held), values(flags)


@dataclass(frozen=True)
class AcrossRuns(Cut):
    """Saturated after every block of `tile` steps, wherever it begins in a run and in whichever it ends: each step is a run of its own."""

    tile: int = 1
    room = EachTile.room

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        held, flags = _begun(k, len(pixels), start)
        steps, number = k["taps"] * k["steps"], k.variable(k.number("i64", 0))
        count = (steps + self.tile - 1) // self.tile
        with k.loop(steps, step=self.tile) as first:
            for here, w in walk(k, pixels, k["tap_table"], weights, len(start), first, (first + self.tile).at_most(steps)):
                put(held, dot.step(k, values(held), here, w))
            _saturate(k, held, flags, table(k, "shift", panel, number.get(), count, len(start)) if self.shifted else [])
            number.set(number.get() + 1)
        return values(held), values(flags)


def _begun(k: Code, rows: int, start: list[Lanes]) -> tuple[Held, Held]:
    """The sums before the first product, and whether they are cut."""
    first = clamped([start], *limits(k, start[0]))[0]
    return held_from(k, rows, first), held_from(k, rows, [s ^ c for s, c in zip(start, first, strict=True)])


def _saturate(k: Code, held: Held, flags: Held, shift: list[Lanes]) -> None:
    if shift:
        add_row(held, shift)
    before = values(held)
    put(held, clamped(before, *limits(k, before[0][0])))
    put(flags, changed(values(flags), before, values(held)))
