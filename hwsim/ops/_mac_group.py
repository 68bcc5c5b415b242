"""One group of a convolution in one phase: what one call of a micro-kernel sums, as tables of offsets and runs of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hwsim.kernels.finishing import Way
from hwsim.kernels.packing import padded
from hwsim.ops._lowering import DTYPES, Desk
from hwsim.ops._mac_plan import Mac, Phase, way_out
from hwsim.quant import Array

__all__ = ["Group", "groups_of", "offsets_table", "runs_of", "wrapped32"]


@dataclass(frozen=True, eq=False)
class Group:
    """`runs` (outputs, runs, channels of a run) are what is multiplied with the numbers in memory from `offsets` (bytes) on, under the
    window of each pixel."""

    mac: Mac
    phase: tuple[Phase, Phase]
    index: int
    channels: int
    offsets: Array
    runs: Array

    @property
    def own(self) -> slice:
        """Its outputs among those of all groups."""
        return slice(self.index * self.mac.outputs, (self.index + 1) * self.mac.outputs)

    @property
    def pixels(self) -> int:
        return self.phase[0].count * self.phase[1].count

    @property
    def reads(self) -> Array:
        """Byte offsets of each pixel's first input."""
        x = self.mac.x
        return offsets_table(*(np.arange(p.count) * p.stride * s for p, s in zip(self.phase, (x.row, x.column), strict=True)))

    @property
    def even(self) -> int:
        """Bytes from one pixel's input to the next, 0 where they are not always as many."""
        steps = np.diff(self.reads)
        return int(steps[0]) if steps.size and np.all(steps == steps[0]) else 0

    def start(self, w_zero: Array | None = None) -> Array:
        """What each output's sum starts from: the bias and the correction for the zero point of the input; `w_zero` is what each output's
        weights are too large by."""
        zero = self.mac.x_zero - self.mac.x.bias
        if not zero:
            return self.mac.epilogue.bias[self.own]
        sums = self.runs.sum((1, 2), dtype=np.int64)
        if w_zero is not None:
            sums -= self.runs[0].size * w_zero[self.own]
        found: Array = self.mac.epilogue.bias[self.own] - zero * sums
        return found

    def way_out(self, desk: Desk, width: int) -> tuple[Way, dict[str, int]]:
        """The way out and its arguments, to whole panels of `width` outputs."""
        e, y = self.mac.epilogue, self.mac.y
        return way_out(desk, replace(e, parameters=tuple(p[self.own] for p in e.parameters)), y.kind, y.bias, width)

    def args(self, desk: Desk, start: Array, width: int, held: str = "i32") -> dict[str, int]:
        """What every micro-kernel is told: where pixels, taps and outputs lie, and what sums of the kind `held` start from."""
        x, y = self.mac.x, self.mac.y
        writes = [(p.first + np.arange(p.count) * p.every) * s for p, s in zip(self.phase, (y.row, y.column), strict=True)]
        return {
            "x": x.offset + self.index * self.channels * x.size,
            "y": y.offset + self.index * self.mac.outputs * y.size,
            "images": x.images,
            "x_image": x.image,
            "y_image": y.image,
            "x_table": desk.keep(self.reads),
            "y_table": desk.keep(offsets_table(*writes)),
            "pixels": self.pixels,
            "tap_table": desk.keep(self.offsets),
            "taps": self.runs.shape[1],
            "start": desk.keep(padded(wrapped32(start) if held == "i32" else start, DTYPES[held], width)),
            "channels": self.mac.outputs,
        }


def groups_of(mac: Mac, weights: Array) -> Iterator[Group]:
    """Every group in every phase of a transposed convolution.

    `weights` (groups, outputs, kernel rows, columns, channels) are what is multiplied with numbers in memory.
    """
    for phase in mac.phases():
        for g in range(mac.groups):
            yield Group(mac, phase, g, weights.shape[-1], *runs_of(mac, phase, weights[g]))


def wrapped32(values: Array) -> Array:
    """int64 numbers modulo 2^32."""
    return values.astype(np.int64).astype(np.uint64).astype(np.uint32).view(np.int32)


def offsets_table(rows: Array, columns: Array) -> Array:
    """The sums of all byte offsets of rows and of columns, row by row."""
    return (rows[:, None] + columns).ravel().astype(np.int32)


def runs_of(mac: Mac, phase: tuple[Phase, Phase], weights: Array) -> tuple[Array, Array]:
    """Byte offsets of the runs of taps and their weights (outputs, runs, depth): taps that lie side by side in memory are one run."""
    taps = [(ky, kx, sy * mac.x.row + sx * mac.x.column) for ky, sy in phase[0].taps for kx, sx in phase[1].taps]
    cell = weights.shape[-1] * mac.x.size
    starts = [i for i, t in enumerate(taps) if i == 0 or mac.groups > 1 or t[2] != taps[i - 1][2] + cell]
    lengths = set(np.diff([*starts, len(taps)]).tolist())
    if len(lengths) > 1:
        starts, lengths = list(range(len(taps))), {1}
    all_in_order = [t[:2] for t in taps] == list(np.ndindex(weights.shape[1:3]))
    each = weights if all_in_order else weights[:, [t[0] for t in taps], [t[1] for t in taps]]
    return np.array([taps[i][2] for i in starts], np.int32), each.reshape(len(weights), len(starts), -1 if starts else 0)
