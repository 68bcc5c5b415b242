"""The affine grid: scale and zero point of a range, and real numbers put on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.quant import Array

__all__ = ["Grid", "Scheme", "affine", "fake", "least_scale", "snapped", "stored"]

LEAST_SCALE = 2.0**-126
Grid = tuple[Array, Array]  # scale (float32) and zero point (int64), one for each row


@dataclass(frozen=True)
class Scheme:
    """The stored numbers qmin ... qmax, whether their zero is fixed in the middle, and whether scales are powers of two."""

    qmin: int
    qmax: int
    symmetric: bool
    power_of_two: bool = False

    @property
    def middle(self) -> int:
        """The zero point of symmetric numbers: 0, or the middle of an unsigned grid."""
        return 0 if self.qmin < 0 else (self.qmax + 1) // 2


def affine(low: Any, high: Any, scheme: Scheme) -> Grid:
    """Scale and zero point of ranges [low, high], with 0 in the range and exact (Jacob et al., CVPR 2018, eq. 1).

    Symmetric: scale = max|x| / qmax around the middle.  Power of two: 2^round(log2 scale), as MQBench.
    """
    low, high = np.minimum(np.asarray(low, np.float64), 0), np.maximum(np.asarray(high, np.float64), 0)
    if scheme.symmetric:
        scale, zero = np.maximum(-low, high) / (scheme.qmax - scheme.middle), np.full(low.shape, scheme.middle, np.int64)
    else:
        scale = (high - low) / (scheme.qmax - scheme.qmin)
        safe = np.where(scale > 0, scale, 1)
        zero = np.clip(np.rint(scheme.qmin - low / safe), scheme.qmin, scheme.qmax).astype(np.int64)
    scale = np.where(scale > LEAST_SCALE, scale, 1.0)
    return (snapped(scale) if scheme.power_of_two else scale).astype(np.float32), zero


def snapped(scale: Array) -> Array:
    """The power of two next to each scale in the logarithm."""
    return 2.0 ** np.round(np.log2(scale))


def least_scale(scale: Array) -> Array:
    """Scales that are above 0; rows of nothing but zeros get 1."""
    return np.where(scale > LEAST_SCALE, scale, 1.0)


def stored(values: Array, grid: Grid, scheme: Scheme) -> Array:
    """Stored numbers of rows of real ones, rounded half to even."""
    scale, zero = (np.expand_dims(g, tuple(range(g.ndim, values.ndim))) for g in grid)
    return np.clip(np.rint(values / scale) + zero, scheme.qmin, scheme.qmax)


def fake(values: Array, grid: Grid, scheme: Scheme) -> Array:
    """Rows of real numbers after a trip to stored ones and back."""
    scale, zero = (np.expand_dims(g, tuple(range(g.ndim, values.ndim))) for g in grid)
    return (np.clip(np.rint(values / scale), scheme.qmin - zero, scheme.qmax - zero) * scale).astype(values.dtype)
