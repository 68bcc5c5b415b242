"""Percentile: the grid spans all but the outermost 0.01 % of the values on each side (PPQ's default; Q11)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit"]

SHARE = 0.9999


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n); a side without outliers keeps its end."""
    low, high = np.quantile(values, (1 - SHARE, SHARE), axis=-1)
    return affine(low, high, scheme)
