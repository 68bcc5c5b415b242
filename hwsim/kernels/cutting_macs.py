"""Saturation after every product: exact, and yet nearly as fast as the plain sum wherever the data allows.

Three ways through a block of products, from the fastest on.  The whole tile at once where no sum can reach a limit: `above` and `below`
say per output channel from where on it might (a bound from the block's weights and the range of activations).  Else row by row: at once
where the row's own activations cannot take it there (no sum on the way is further up than all positive products, or further down than
all negative ones), or product by product (`saturating`).
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import Bench, Cut, Held, add_block, add_row, blocks, clamped, held_from, limits, put, table, values
from hwsim.kernels.dots import Dot, Sums, quads
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.saturating import Marks, add_apart, add_together

__all__ = ["EachMac"]

BLIND = 7  # blocks that go product by product after one in which most rows had to
MARKS, TOTALS = 0, 1  # planes of the tile's memory


@dataclass(frozen=True)
class EachMac(Cut):
    """`steps` are 16 or less, or a multiple of 16; `narrow` accumulators have less than 16 bits.  What the slower ways need lies in
    memory and leaves the registers to the fastest.

    Rows go `apart` where a look at each is worth it: where a block does not go far beyond the limits, and there are outputs enough.
    After a block in which most of them went product by product the tile's rows do so together for a while.
    """

    narrow: bool = False
    apart: bool = True

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        low, high = limits(k, start[0])
        held, vectors = held_from(k, len(pixels), clamped([start], low, high)[0]), len(start)
        memory, marks = Bench(k, len(pixels), vectors), Marks(k)
        memory.put(MARKS, [[(s > high).select(marks.above, (s < low).select(marks.below, marks.never)) for s in start]] * len(pixels))
        count = k["taps"] * (k["steps"] // self.steps)
        patience = k.variable(k.number("i64", 0))
        with blocks(k, dot, pixels, weights, vectors * host.lanes(), self.steps) as (here, w, number, _):
            row = (panel * count + number) * (4 * vectors * host.lanes())
            shift = table(k, "shift", panel, number, count, vectors) if self.shifted else []
            with k.otherwise(_might(k, values(held), k["above"] + row, k["below"] + row)) as (slow, fast):
                with slow:
                    words = k["words"] + row * (4 * self.steps)
                    if self.apart:
                        with k.otherwise(patience.get() < 0) as (hasty, patient):
                            with hasty:
                                self._together(k, memory, held, here, words)
                                patience.set(patience.get() + 1)
                            with patient:
                                lost = self._apart(k, memory, held, here, w, shift, words)
                                patience.set((2 * lost > memory.rows).select(k.number("i64", -BLIND), k.number("i64", 0)))
                    else:
                        self._together(k, memory, held, here, words)
                with fast:
                    add_block(k, dot, held, here, w, self.steps)
                    if shift:
                        add_row(held, shift)
        return values(held), [[m ^ marks.never for m in row] for row in memory.get(MARKS)]

    def _together(self, k: Code, memory: Bench, held: Held, pixels: list[Lanes], words: Lanes) -> None:
        """The block product by product, in all rows of the tile."""
        marks = add_together(k, held, memory.get(MARKS), pixels, words, 4 * self.steps, memory.free, self.narrow)
        memory.put(MARKS, marks)

    def _apart(self, k: Code, memory: Bench, held: Held, pixels: list[Lanes], weights: Lanes, shift: list[Lanes], words: Lanes) -> Lanes:
        """The block in one row after the other; gives how many of them went product by product."""
        lost = k.variable(k.number("i64", 0))
        memory.put(TOTALS, values(held))
        memory.put_pixels(pixels)
        with k.loop(k.number("i64", memory.rows)) as r:
            lost.set(lost.get() + self._row(k, memory, r, weights, shift, words).to("i64"))
        put(held, memory.get(TOTALS))
        return lost.get()

    def _row(self, k: Code, memory: Bench, r: Lanes, weights: Lanes, shift: list[Lanes], words: Lanes) -> Lanes:
        """The block in one row of the tile; gives whether it went product by product."""
        sums, pixel = memory.row(TOTALS, r), memory.pixel(r)
        after, bad = self._at_once(k, [s.get() for s in sums], pixel, weights, shift)
        with k.otherwise(bad) as (slow, fast):
            with slow:
                marks = [m.get() for m in memory.row(MARKS, r)]
                after_marks = add_apart(k, sums, marks, pixel, words, 4 * self.steps, memory.free, self.narrow)
                memory.put_row(MARKS, r, [k.variable(m) for m in after_marks])
            with fast:
                put([sums], [after])
        memory.put_row(TOTALS, r, sums)
        return bad

    def _at_once(self, k: Code, sums: list[Lanes], pixel: Lanes, weights: Lanes, shift: list[Lanes]) -> tuple[list[Lanes], Lanes]:
        """The sums after the block, and whether any might have been beyond a limit on the way."""
        low, high = limits(k, sums[0])
        change, up, down = ([k.variable(s.constant(0)) for s in sums] for _ in range(3))
        with k.loop(k.number("i64", self.steps)) as i:
            numbers = k.load("i32", pixel + 4 * i).spread(host.lanes()).bits("u8")
            for j in range(len(sums)):
                w = k.load("u8", weights + (i * len(sums) + j) * (4 * host.lanes()), 4 * host.lanes())
                _take(change[j], numbers, w)
                if not self.shifted:
                    _take(up[j], numbers, w.call("smax", w.constant(0)))
                    continue
                offset = k["offset"].to("u8").spread(numbers.lanes)
                _take(up[j], numbers.call("usub.sat", offset), w.call("smax", w.constant(0)))
                _take(down[j], offset.call("usub.sat", numbers), w.call("smin", w.constant(0)))
        after, bad = [], k.number("i1", 0)
        for j, total in enumerate(sums):
            whole, positive = change[j].get() + (shift[j] if shift else 0), up[j].get() - down[j].get()
            after.append(total + whole)
            bad = bad | (positive > high - total) | (positive - whole > total - low)
        return after, bad.reduce("or")


def _take(total: Variable, numbers: Lanes, weights: Lanes) -> None:
    total.set(quads(total.get(), numbers, weights))


def _might(k: Code, sums: Sums, above: Lanes, below: Lanes) -> Lanes:
    """Whether any sum of the tile might saturate in the block."""
    lanes, found = host.lanes(), k.number("i1", 0)
    for j, column in enumerate(zip(*sums, strict=True)):
        most, least = column[0], column[0]
        for v in column[1:]:
            most, least = most.at_least(v), least.at_most(v)
        found = found | (most > k.load("i32", above + 4 * lanes * j, lanes)) | (least < k.load("i32", below + 4 * lanes * j, lanes))
    return found.reduce("or")
