"""Cosine search: the shrunk range whose rounded values point most nearly in the direction of the values (ncnn's EQ; Q14)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine, fake

__all__ = ["cosine", "fit"]

SHRINKS = np.arange(100, 29, -1) / 100


def cosine(a: Array, b: Array) -> Array:
    """Cosine of the angle between rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.maximum(np.sqrt(np.square(a).sum(-1) * np.square(b).sum(-1)), 1e-300)


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n); never less similar than min-max."""
    low, high = values.min(-1).astype(np.float64), values.max(-1).astype(np.float64)
    scale, zero = affine(low, high, scheme)
    best = cosine(values, fake(values, (scale, zero), scheme))
    for f in SHRINKS[1:]:
        grid = affine(f * low, f * high, scheme)
        found = cosine(values, fake(values, grid, scheme))
        better = found > best
        scale[better], zero[better], best[better] = grid[0][better], grid[1][better], found[better]
    return scale, zero
