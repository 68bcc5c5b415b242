"""Exponential moving average of each batch's smallest and largest value: m <- 0.9 m + 0.1 now (Jacob et al. 2018, section 3.1; Q11)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["BATCHES", "fit"]

BATCHES = 16  # consecutive parts of the calibration set
KEEP = 0.9


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n), n in the order of the calibration set."""
    parts = np.array_split(values, min(BATCHES, values.shape[-1]), -1)
    low, high = parts[0].min(-1).astype(np.float64), parts[0].max(-1).astype(np.float64)
    for part in parts[1:]:
        low, high = (KEEP * m + (1 - KEEP) * now for m, now in ((low, part.min(-1)), (high, part.max(-1))))
    return affine(low, high, scheme)
