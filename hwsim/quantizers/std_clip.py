"""Mean plus and minus 2.6 standard deviations, inside the values' own range (MQBench's ClipStd, from DSQ; Q11)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit"]

DEVIATIONS = 2.6


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n)."""
    mean, reach = values.mean(-1, dtype=np.float64), DEVIATIONS * values.std(-1, dtype=np.float64)
    return affine(np.maximum(mean - reach, values.min(-1)), np.minimum(mean + reach, values.max(-1)), scheme)
