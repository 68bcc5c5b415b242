"""Sums of 64 bits: products are added in 32 bits as long as they cannot leave them, then to what lies in memory."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Cut, held_from, put, values
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["Wide"]


@dataclass(frozen=True)
class Wide(Cut):
    """`taps` whole runs, or (with one) `block` steps of a run stay inside 32 bits.  Wrapped to the accumulator's bits at the end."""

    taps: int = 1
    block: int = 1

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        lanes, vectors = host.lanes(), len(start)
        first = [k.load("i64", k["wide_start"] + 8 * lanes * (panel * vectors + j), lanes) for j in range(vectors)]
        totals = [[k.arena + k["flags"] + 8 * lanes * (r * vectors + j) for j in range(vectors)] for r in range(len(pixels))]
        for row in totals:
            for place, total in zip(row, first, strict=True):
                k.store(total, place)
        with k.loop(k["taps"], step=self.taps) as tap, k.loop(k["steps"], step=self.block) as step:
            part = self._part(k, dot, pixels, weights, vectors, tap, step)
            for row, sums in zip(totals, part, strict=True):
                for place, s in zip(row, sums, strict=True):
                    k.store(k.load("i64", place, lanes) + s.to("i64"), place)
        whole = [[k.load("i64", place, lanes) for place in row] for row in totals]
        away = (64 - k["bits"]).spread(lanes)
        cut = [[(v << away) >> away for v in row] for row in whole]
        return cut, [[v ^ c for v, c in zip(*rows, strict=True)] for rows in zip(whole, cut, strict=True)]

    def _part(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, vectors: int, tap: Lanes, step: Lanes) -> Sums:
        """The products of a block, in 32 bits."""
        lanes = host.lanes()
        held = held_from(k, len(pixels), [k.number("i32", 0, lanes)] * vectors)
        bytes_ = vectors * lanes * dot.w_bytes
        with k.loop((tap + self.taps).at_most(k["taps"]), start=tap) as t:
            offset = k.load("i32", k["tap_table"] + 4 * t, align=4).to("i64")
            with k.loop((step + self.block).at_most(k["steps"]), start=step) as s:
                here = [p + offset + dot.x_bytes * s for p in pixels]
                put(held, dot.step(k, values(held), here, weights + (t * k["steps"] + s) * bytes_))
        return values(held)
