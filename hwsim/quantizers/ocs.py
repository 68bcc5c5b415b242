"""Outlier channel splitting: the input channels with the largest weights are read twice, each time with half of the weight.

Zhao et al., ICML 2019, section 3 (Q24): Q(w) = Q((w - 1/2) / 2) + Q((w + 1/2) / 2) in steps of the grid, so that nothing is lost
by halving while the range of the layer shrinks.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from hwsim.quant import Array

__all__ = ["NEEDS", "extra_channels", "split"]

NEEDS = "activations read twice (a gather of channels), and a twentieth more input channels"
EXPANSION = 0.05


def extra_channels(channels: int) -> int:
    """How many channels are split: ceil(r C)."""
    return ceil(EXPANSION * channels)


def split(rows: Array, count: int, highest: int) -> tuple[Array, Array]:
    """The channel that each new row reads, and the new rows (channels + count, n); `highest` is the grid's largest number.

    One at a time the row with the largest weight is split; the step of the grid is that of the range that all of them leave.
    """
    step = float(np.abs(_split(rows, count, 0.0)[1]).max(initial=0)) / highest
    return _split(rows, count, step)


def _split(rows: Array, count: int, step: float) -> tuple[Array, Array]:
    found, reads = list(rows), list(range(len(rows)))
    for _ in range(count):
        at = int(np.argmax([np.abs(r).max(initial=0) for r in found]))
        row = found[at]
        found[at] = (row - step / 2) / 2
        found.append((row + step / 2) / 2)
        reads.append(reads[at])
    return np.array(reads, np.int64), np.array(found)
