"""Saturation after every product in 16-bit lanes, twice as many as 32-bit ones."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import Bench, Cut, Room, all_of, changed, clamped, flatten, limits, put, values
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.turning import add_turned, products, row_of

__all__ = ["EachWord"]

BLOCK = 64  # products, a bit each
FLAGS, TOTALS = 0, 1  # planes of the tile's memory


@dataclass(frozen=True)
class EachWord(Cut):
    """Saturated after every product in 16-bit lanes, for accumulators of 16 bits (`narrow`: of less) and products that fit into as many.

    Activations, which are unsigned, lie in memory twice, as two words; weights are words.  Until every sum of a tile is known to be
    cut its rows go one by one and leave out the products of activations that are 0: half of them, behind a ReLU.  `steps` products
    are compared with their plain sum at once, as many as cannot undo each other's saturation.  Then nobody asks any more what is cut,
    and the tile's rows go together.
    """

    narrow: bool = False
    room = Room(most=8, even=True, rows=4)

    @property
    def turns(self) -> bool:
        """Whether some vectors of a tile are summed as `turning` does it: where words are full."""
        return not self.narrow

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        low, high = limits(k, start[0])
        vectors, word_bytes = len(start) // 2, 2 * len(start) * host.lanes()
        memory = Bench(k, len(pixels), vectors, "i16")
        memory.put(FLAGS, [joined([(s > high) | (s < low) for s in start])] * len(pixels))
        memory.put(TOTALS, [joined(clamped([start], low, high)[0])] * len(pixels))
        known = k.variable(k.number("i64", 0))
        with k.loop(k["taps"]) as tap:
            offset = k.load("i32", k["tap_table"] + 4 * tap, align=4).to("i64")
            run, at, done = [p + offset for p in pixels], weights + tap * k["steps"] * word_bytes, k.variable(k.number("i64", 0))
            with k.loop(k["steps"], step=BLOCK) as first, k.when(known.get() == 0):
                count = (k["steps"] - first).at_most(BLOCK)
                memory.put_pixels([p + dot.x_bytes * first for p in run])
                with k.loop(k.number("i64", memory.rows)) as r:
                    self._row(k, memory, r, at + first * word_bytes, count)
                done.set(first + count)
                known.set(all_of(flatten(memory.get(FLAGS))).to("i64"))
            rest = k["steps"] - done.get()
            with k.when(rest > 0):
                step = (panel * k["taps"] + tap) * k["steps"] + done.get()
                here = [p + dot.x_bytes * done.get() for p in run]
                self._tile(k, memory, here, at + done.get() * word_bytes, step, rest)
        return halves(memory.get(TOTALS)), halves(memory.get(FLAGS))

    def _row(self, k: Code, memory: Bench, r: Lanes, weights: Lanes, count: Lanes) -> None:
        """`count` products in one row of the tile, those of 0 left out."""
        pixel, left = memory.pixel(r), self._worthwhile(k, memory.pixel(r), count)
        sums, flags = memory.row(TOTALS, r), memory.row(FLAGS, r)
        with k.loop(left.get().call("ctpop"), step=self.steps):
            plain = values([sums])
            for _ in range(self.steps):
                at = left.get().intrinsic("llvm.cttz.i64", left.get(), k.number("i1", 0))
                left.set(left.get() & (left.get() - 1))
                found = products(k, pixel + 4 * at, row_of(k, weights, at, memory.vectors))
                plain = [[p + q for p, q in zip(plain[0], found, strict=True)]]
                self._add(k, sums, found)
            put([flags], changed(values([flags]), plain, values([sums])))
        memory.put_row(TOTALS, r, sums)
        memory.put_row(FLAGS, r, flags)

    def _worthwhile(self, k: Code, pixel: Lanes, count: Lanes) -> Variable:
        """A bit for every product that is not 0; with `steps` of 2 one more, the first that is, where they are odd (depths are even)."""
        left = k.variable((k.load("i32", pixel, BLOCK) != 0).bits("i64"))
        with k.when(count < BLOCK):
            left.set(left.get() & ((k.number("i64", 1) << count) - 1))
        if self.steps == 2:
            odd = left.get().call("ctpop") & 1
            left.set(left.get() | ((left.get() ^ -1) & (left.get() + 1) & -odd))
        return left

    def _tile(self, k: Code, memory: Bench, pixels: list[Lanes], weights: Lanes, step: Lanes, count: Lanes) -> None:
        """`count` products from `step` of all panels on, in all rows of the tile at once."""
        if self.turns and memory.vectors > 1:
            memory.put(TOTALS, add_turned(k, memory.get(TOTALS), pixels, weights, step, count))
            return
        held = [[k.variable(v) for v in row] for row in memory.get(TOTALS)]
        with k.loop(count) as i:
            columns = row_of(k, weights, i, memory.vectors)
            for sums, pixel in zip(held, pixels, strict=True):
                self._add(k, sums, products(k, pixel + 4 * i, columns))
        memory.put(TOTALS, values(held))

    def _add(self, k: Code, sums: list[Variable], products: list[Lanes]) -> None:
        made = [[s.get().call("sadd.sat", p) for s, p in zip(sums, products, strict=True)]]
        put([sums], clamped(made, *limits(k, products[0])) if self.narrow else made)


def joined(vectors: list[Lanes]) -> list[Lanes]:
    """Vectors of 32-bit lanes (or of truth) as half as many of 16-bit lanes."""
    words, order = [v.to("i16") for v in vectors], list(range(2 * vectors[0].lanes))
    return [first.shuffle(order, second) for first, second in zip(words[::2], words[1::2], strict=True)]


def halves(sums: Sums) -> Sums:
    """Vectors of 16-bit lanes as twice as many of 32-bit lanes."""
    found = []
    for row in sums:
        lanes = row[0].lanes // 2
        found.append([v.shuffle(list(range(i, i + lanes))).to("i32") for v in row for i in (0, lanes)])
    return found
