"""An accumulator that cuts its sums, with the tables that its kernel reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.kernels.cutting import Cut, EachMac
from hwsim.kernels.cutting_pairs import EachPair
from hwsim.kernels.cutting_wide import Wide
from hwsim.kernels.dots import Dot
from hwsim.kernels.packing import padded
from hwsim.ops._lowering import Desk
from hwsim.quant import Array

__all__ = ["CutPlan"]


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

    def args(self, desk: Desk, runs: Array, start: Array, dot: Dot, width: int) -> dict[str, int]:
        """The arguments of the cut for weights (outputs, runs, depth), whose depth is whole blocks, and sums that begin at `start`."""
        found = {"bits": self.bits, "offset": self.offset, "flags": self.flags, "overflowed": self.counter}
        if isinstance(self.cut, Wide):
            return {**found, "wide_start": desk.keep(padded(start, np.int64, width))}
        w = runs.reshape(len(runs), runs.shape[1], -1, self.cut.steps * dot.channels).astype(np.int64)
        if self.cut.shifted:
            found["shift"] = desk.keep(_table(-self.offset * w.sum(-1), width))
        if isinstance(self.cut, EachMac):
            up, down = (f(0, f(w * self.low, w * self.high)).sum(-1) for f in (np.maximum, np.minimum))
            limit = 1 << (self.bits - 1)
            found |= {"above": desk.keep(_table(limit - 1 - up, width)), "below": desk.keep(_table(-limit - down, width))}
        if isinstance(self.cut, EachPair):
            found["might"] = desk.keep(self._might(runs, width))
        return found

    def _might(self, runs: Array, width: int) -> Array:
        """For each panel and step of four products whether any pair of them can leave 16 bits."""
        pairs = runs.reshape(len(runs), -1, 2, 2).astype(np.int64)
        up, down = (f(0, f(pairs * self.low, pairs * self.high)).sum(-1) for f in (np.maximum, np.minimum))
        beyond = ((up > 32767) | (down < -32768)).any(-1)
        full = np.zeros((-(-len(runs) // width) * width, beyond.shape[1]), bool)
        full[: len(runs)] = beyond
        return np.asarray(full.reshape(-1, width, beyond.shape[1]).any(1), np.uint8)


def _table(values: Array, width: int) -> Array:
    """Numbers (outputs, runs, blocks) as int32 [panel][run and block][output]; lanes behind the last output never matter."""
    flat = values.reshape(len(values), -1)
    full = np.zeros((-(-len(values) // width) * width, flat.shape[1]), np.int32)
    full[: len(values)] = np.clip(flat, -(1 << 31), (1 << 31) - 1)
    return full.reshape(-1, width, flat.shape[1]).transpose(0, 2, 1)
