"""Lloyd-Max: the non-uniform levels with the least squared error, centroids and midpoints by turns (Lloyd 1982; Q59)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation, nearest_level

__all__ = ["NEEDS", "approximate", "levels_of"]

NEEDS = "a codebook of 2^bits entries for each row"
ROUNDS = 200


def levels_of(sorted_values: Array, count: int) -> Array:
    """Sorted levels at a fixed point: each is the mean of its cell, and cells end halfway between levels.

    Starts at quantiles; a cell that is empty keeps its level.
    """
    n = len(sorted_values)
    sums = np.concatenate([[0.0], np.cumsum(sorted_values, dtype=np.float64)])
    levels = sorted_values[((np.arange(count) + 0.5) / count * n).astype(int)].astype(np.float64)
    for _ in range(ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(sorted_values, (levels[1:] + levels[:-1]) / 2), [n]])
        members = np.diff(cuts)
        found = np.where(members > 0, (sums[cuts[1:]] - sums[cuts[:-1]]) / np.maximum(members, 1), levels)
        if np.allclose(found, levels, rtol=1e-10, atol=0):
            break
        levels = found
    return np.sort(levels)


def approximate(values: Array, bits: int) -> Approximation:
    """Every row with its own levels."""
    rows = []
    for row in values:
        levels = levels_of(np.sort(row), 2**bits)
        rows.append(levels[nearest_level(row, levels)])
    return Approximation(np.array(rows))
