"""Saturation after every product in 16-bit lanes, twice as many as 32-bit ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Cut, Held, all_of, blocks, changed, clamped, flatten, held_from, limits, put, values
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["EachWord"]

LOOK = 128  # groups of products between two looks whether every sum of a tile is known to be cut


@dataclass(frozen=True)
class EachWord(Cut):
    """Saturated after every product in 16-bit lanes, for accumulators of 16 bits or less and products that fit into as many.

    Activations less their offset lie in memory twice, as two words; weights are words.  `steps` products are compared with their
    plain sum at once, where no two of them can undo each other's saturation.
    """

    reserved: int = 8
    most: int = 4
    even: bool = True
    narrow: bool = False

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        low, high = limits(k, start[0])
        words = [joined(start[j].at_least(low).at_most(high) for j in (i, i + 1)) for i in range(0, len(start), 2)]
        beyond = [joined((start[j] > high) | (start[j] < low) for j in (i, i + 1)) for i in range(0, len(start), 2)]
        held = held_from(k, len(pixels), words)
        flags = held_from(k, len(pixels), [m.to("i16") for m in beyond])
        narrow = tuple(v.to("i16").spread(words[0].lanes) for v in (low.lane(0), high.lane(0))) if self.narrow else ()
        width = len(start) * host.lanes()
        with blocks(k, dot, pixels, weights, width, LOOK * self.steps) as (here, w, _, count):
            known = all_of(flatten(values(flags)))
            with k.otherwise(known) as branches:
                for branch, watched in zip(branches, (None, flags), strict=True):
                    with branch, k.loop(count, step=self.steps) as i:
                        self._add(k, dot, held, watched, [p + dot.x_bytes * i for p in here], w + i * (2 * width), narrow)
        return halves(values(held)), halves(values(flags))

    def _add(self, k: Code, dot: Dot, held: Held, flags: Held | None, here: list[Lanes], weights: Lanes, narrow: tuple[Lanes, ...]) -> None:
        """A few products, row by row; their weights stay in registers.  Without `flags` nobody asks any more what is cut."""
        lanes, vectors = held[0][0].get().lanes, len(held[0])
        steps = [[k.load("i16", weights + 2 * lanes * (i * vectors + j), lanes) for j in range(vectors)] for i in range(self.steps)]
        for r, (row, pixel) in enumerate(zip(held, here, strict=True)):
            sums = plain = [v.get() for v in row]
            for i, columns in enumerate(steps):
                number = k.load("i32", pixel + dot.x_bytes * i).spread(lanes // 2).bits("i16")
                products = [number * w for w in columns]
                sums = [v.call("sadd.sat", p) for v, p in zip(sums, products, strict=True)]
                sums = clamped([sums], *narrow)[0] if narrow else sums
                plain = [v + p for v, p in zip(plain, products, strict=True)]
            put([row], [sums])
            if flags is not None:
                changed([flags[r]], [plain], [sums])


def joined(parts: Iterator[Lanes]) -> Lanes:
    """Two vectors of 32-bit lanes (or of truth) as one of 16-bit lanes."""
    first, second = (p.to("i16") for p in parts)
    return first.shuffle(list(range(2 * first.lanes)), second)


def halves(sums: Sums) -> Sums:
    """Vectors of 16-bit lanes as twice as many of 32-bit lanes."""
    found = []
    for row in sums:
        lanes = row[0].lanes // 2
        found.append([v.shuffle(list(range(i, i + lanes))).to("i32") for v in row for i in (0, lanes)])
    return found
