"""Saturation after every product: exact, and yet nearly as fast as the plain sum wherever the data allows.

Three ways through a block of products, from the fastest on.  The whole tile at once where no sum can reach a limit: `above` and `below`
say per output channel from where on it might (a bound from the block's weights and the range of activations).  Else row by row, a few
products at once where the row's own activations cannot take it there: no sum on the way is further up than all positive products, or
further down than all negative ones.  Else one product after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import Bench, Cut, add_block, add_row, blocks, clamped, held_from, limits, put, table, values
from hwsim.kernels.dots import Dot, Sums, quads
from hwsim.kernels.lanes import Lanes

__all__ = ["FEW", "EachMac"]

FEW = 4  # steps of the dot that go at once in a row


@dataclass(frozen=True)
class EachMac(Cut):
    """`steps` are FEW or less, or a multiple of FEW.  What the slower ways need lies in memory and leaves the registers to the fastest."""

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        low, high = limits(k, start[0])
        first = clamped([start], low, high)[0]
        held, vectors = held_from(k, len(pixels), first), len(start)
        memory = Bench(k, len(pixels), vectors)
        memory.put(0, [[s ^ c for s, c in zip(start, first, strict=True)]] * len(pixels))
        count = k["taps"] * (k["steps"] // self.steps)
        with blocks(k, dot, pixels, weights, vectors * host.lanes(), self.steps) as (here, w, number, _):
            rows = [k[n] + (panel * count + number) * (4 * vectors * host.lanes()) for n in ("above", "below")]
            with k.otherwise(_might(k, values(held), *rows)) as (slow, fast):
                with slow:
                    memory.put(1, values(held))
                    memory.put_pixels(here)
                    with k.loop(k.number("i64", memory.rows)) as r:
                        self._row(k, memory, r, w)
                    put(held, memory.get(1))
                with fast:
                    add_block(k, dot, held, here, w, self.steps)
                    if self.shifted:
                        add_row(held, table(k, "shift", panel, number, count, vectors))
        return values(held), memory.get(0)

    def _row(self, k: Code, memory: Bench, r: Lanes, weights: Lanes) -> None:
        """The block in one row of the tile, a few steps at a time."""
        lanes, vectors, few = host.lanes(), memory.vectors, min(self.steps, FEW)
        sums, flags, pixel = memory.row(1, r), memory.row(0, r), memory.pixel(r)
        low, high = limits(k, sums[0].get())
        with k.loop(k.number("i64", self.steps), step=few) as i:
            numbers = [k.load("i32", pixel + 4 * (i + n)).spread(lanes) for n in range(few)]
            at = weights + i * (4 * vectors * lanes)
            columns = [[k.load("i32", at + 4 * lanes * (n * vectors + j), lanes) for n in range(few)] for j in range(vectors)]
            after, bad = self._together(k, [s.get() for s in sums], numbers, columns, low, high)
            with k.otherwise(bad) as (slow, fast):
                with slow:
                    for total, flag, column in zip(sums, flags, columns, strict=True):
                        self._one_by_one(k, total, flag, numbers, column, low, high)
                with fast:
                    put([sums], [after])
        memory.put_row(1, r, sums)
        memory.put_row(0, r, flags)

    def _together(
        self, k: Code, sums: list[Lanes], numbers: list[Lanes], columns: list[list[Lanes]], low: Lanes, high: Lanes
    ) -> tuple[list[Lanes], Lanes]:
        """The sums after a few steps, and whether any might have been beyond a limit on the way."""
        offset, after, bad = self._offset(k), [], k.number("i1", 0)
        parts = [
            (x.call("usub.sat", offset), offset.call("usub.sat", x)) if self.shifted else (x,) for x in (n.bits("u8") for n in numbers)
        ]
        for total, column in zip(sums, columns, strict=True):
            up = change = total.constant(0)
            for (positive, *negative), w in zip(parts, (c.bits("u8") for c in column), strict=True):
                change, up = quads(change, positive, w), quads(up, positive, w.call("smax", w.constant(0)))
                for x in negative:
                    change, up = change - quads(total.constant(0), x, w), up - quads(total.constant(0), x, w.call("smin", w.constant(0)))
            after.append(total + change)
            bad = bad | (up > high - total) | (up - change > total - low)
        return after, bad.reduce("or")

    def _one_by_one(
        self, k: Code, total: Variable, flag: Variable, numbers: list[Lanes], column: list[Lanes], low: Lanes, high: Lanes
    ) -> None:
        offset, none = self._offset(k), total.get().constant(0)
        for x, w in zip(numbers, column, strict=True):
            for byte in range(4):
                mask = (255 << 8 * byte) - ((1 << 32) if byte == 3 else 0)
                before = quads(total.get(), (x & mask).bits("u8"), w.bits("u8"))
                if self.shifted:
                    before = before - quads(none, (offset.bits("i32") & mask).bits("u8"), w.bits("u8"))
                total.set(before.at_least(low).at_most(high))
                flag.set(flag.get() | (before ^ total.get()))

    def _offset(self, k: Code) -> Lanes:
        """The offset in every byte."""
        return k["offset"].to("u8").spread(4 * host.lanes())


def _might(k: Code, sums: Sums, above: Lanes, below: Lanes) -> Lanes:
    """Whether any sum of the tile might saturate in the block."""
    lanes, found = host.lanes(), k.number("i1", 0)
    for j, column in enumerate(zip(*sums, strict=True)):
        most, least = column[0], column[0]
        for v in column[1:]:
            most, least = most.at_least(v), least.at_most(v)
        found = found | (most > k.load("i32", above + 4 * lanes * j, lanes)) | (least < k.load("i32", below + 4 * lanes * j, lanes))
    return found.reduce("or")
