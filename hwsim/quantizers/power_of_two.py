"""Power-of-two weights: the nearest of 0 and +-2^-k s, 2^(b-1) - 1 exponents down from the largest (Miyashita et al. 2016)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation, nearest_level

__all__ = ["NEEDS", "approximate"]

NEEDS = "shifts instead of multipliers"


def approximate(values: Array, bits: int) -> Approximation:
    """Rows are scaled so that their largest number is the largest level."""
    top = np.maximum(np.abs(values).max(-1, keepdims=True), 1e-30)
    levels = np.array([0.0, *(2.0**-k for k in range(2 ** (bits - 1) - 2, -1, -1))])
    found = np.sign(values) * levels[nearest_level(np.abs(values) / top, levels)]
    return Approximation(found * top, top * levels[1])
