"""Depthwise windows woven: which pixels of a tile of neighbouring outputs are put side by side, and which outputs take their products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from hwsim.ops._mac_plan import Phase
from hwsim.quant import Array

__all__ = ["Weave", "best_weave"]

UNROLLED = 12  # groups that are written out: beyond, all outputs take the products of every group, in a loop
MOST = 2  # outputs of a tile: sums of more do not stay in registers
Cell = tuple[int, int]


@dataclass(frozen=True)
class Weave:
    """A tile of so many neighbouring outputs of a row.

    Each group is `taps` pixels (rows and columns from the tile's first input), each of its `uses` an output with one of `parts`: the
    kernel's cell for each pixel of the group, None where that output does not meet it.
    """

    outputs: int
    taps: int
    groups: tuple[tuple[Cell, ...], ...]
    uses: tuple[tuple[tuple[int, int], ...], ...]
    parts: tuple[tuple[Cell | None, ...], ...]

    @property
    def repeats(self) -> int:
        """How often the kernel's steps run: once when they are written out."""
        return 1 if len(self.groups) <= UNROLLED else len(self.groups)

    @property
    def steps(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """`uses` of the groups of one repeat."""
        return self.uses[: len(self.groups) // self.repeats]

    @cached_property
    def operations(self) -> int:
        """Vector operations of a tile: weaving, products and the way out."""
        weaving, way_out = (8, 20) if self.taps == 4 else (2, 14)
        return len(self.groups) * weaving + 4 * sum(map(len, self.uses)) + self.outputs * way_out

    def weights(self, kernel: Array) -> Array:
        """Of kernels (channels, rows, columns): (channels, parts, taps)."""
        laid = np.zeros((len(kernel), len(self.parts), self.taps), kernel.dtype)
        for (i, part), t in product(enumerate(self.parts), range(self.taps)):
            cell = part[t]
            if cell is not None:
                laid[:, i, t] = kernel[:, cell[0], cell[1]]
        return laid


def best_weave(rows: Phase, columns: Phase, taps: int) -> Weave:
    """The tile that takes the fewest operations for a row."""
    made = [_weave(rows, columns, outputs, taps) for outputs in range(1, min(columns.count, MOST) + 1)]
    return min(made, key=lambda w: w.operations * -(-columns.count // w.outputs))


def _weave(rows: Phase, columns: Phase, outputs: int, taps: int) -> Weave:
    """Pixels in the order of memory or of the outputs that they are for, whichever needs fewer products."""
    windows = [{(sy, sx + o * columns.stride): (ky, kx) for ky, sy in rows.taps for kx, sx in columns.taps} for o in range(outputs)]
    pixels = sorted(set().union(*windows))
    by_users = sorted(pixels, key=lambda p: float(np.mean([o for o, w in enumerate(windows) if p in w])))
    made = [_grouped(windows, order, taps) for order in (pixels, by_users)]
    return min(made, key=lambda w: (w.operations, len(w.parts)))


def _grouped(windows: Sequence[dict[Cell, Cell]], pixels: Sequence[Cell], taps: int) -> Weave:
    groups = [tuple(pixels[i : i + taps]) for i in range(0, len(pixels), taps)]
    written_out = len(groups) <= UNROLLED
    parts: list[tuple[Cell | None, ...]] = []
    uses = []
    for group in groups:
        taken = []
        for output, window in enumerate(windows):
            part = tuple(window.get(p) for p in group) + (None,) * (taps - len(group))
            if any(part) or not written_out:
                taken.append((output, len(parts) if written_out else output))
                parts.append(part)
        uses.append(tuple(taken))
    full = tuple(g + g[-1:] * (taps - len(g)) for g in groups)
    return Weave(len(windows), taps, full, tuple(uses), tuple(parts))
