"""Weights that may take certain values alone, and what hardware such values need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.quant import Array

__all__ = ["Approximation", "nearest_level"]


@dataclass(frozen=True, eq=False)
class Approximation:
    """Rows of weights as values on a quantizer's own levels, (rows, n), and the unit of each row, (rows, 1), of which all are multiples.

    `unit` is None where the levels are no multiples of anything: hardware without the quantizer's decoder then rounds them again.
    """

    values: Array
    unit: Array | None = None


def nearest_level(values: Array, levels: Array) -> Array:
    """Index of the nearest of some sorted levels; the lower one at equal distance."""
    middles = (levels[1:] + levels[:-1]) / 2
    return np.searchsorted(middles, values, "left")
