"""ACIQ: the clip with the least expected squared error for a Laplace or Gauss distribution (Banner et al., NeurIPS 2019, eq. 8; Q15).

Laplace: a / b is Lambert's W0(3 4^M), b = E|x - E x|; one-sided behind a ReLU W0(12 4^M), the entry of one more bit.  Gauss: the root
of the derivative of (1 + a^2)(1 - erf(a / sqrt 2)) - sqrt(2 / pi) a exp(-a^2 / 2) + a^2 / (3 4^M).  Of the two the one whose
expected absolute deviation over standard deviation is nearer to the values'.
"""

from __future__ import annotations

from math import erf, exp, log, pi, sqrt

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit", "gauss_clip", "lambert_w", "laplace_clip"]

GAUSS_RATIO, LAPLACE_RATIO = sqrt(2 / pi), sqrt(0.5)  # E|x - E x| / sigma


def lambert_w(x: float) -> float:
    """The W >= 0 with W e^W = x, for x >= 0, by Newton's method."""
    w = log(1 + x)
    for _ in range(40):
        w -= (w - x * exp(-w)) / (1 + w)
    return w


def laplace_clip(bits: float) -> float:
    """The best clip in units of b."""
    return lambert_w(3 * 4.0**bits)


def gauss_clip(bits: float) -> float:
    """The best clip in standard deviations, by bisection on a (1 - erf(a / sqrt 2) + 1 / (3 4^M)) = sqrt(2 / pi) exp(-a^2 / 2)."""

    def slope(a: float) -> float:
        return a * (1 - erf(a / sqrt(2)) + 1 / (3 * 4.0**bits)) - sqrt(2 / pi) * exp(-a * a / 2)

    low, high = 0.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n); rows without negative numbers are one-sided."""
    grids = [_clip(row, scheme) for row in values.reshape(-1, values.shape[-1])]
    low, high = np.array(grids).T
    return affine(low, high, scheme)


def _clip(row: Array, scheme: Scheme) -> tuple[float, float]:
    levels = scheme.qmax - scheme.qmin + 1
    one_sided = bool(row.min() >= 0) and not scheme.symmetric
    mean = float(row.mean(dtype=np.float64))
    deviation, sigma = float(np.abs(row - mean).mean(dtype=np.float64)), float(row.std(dtype=np.float64))
    bits = log(levels, 2) + (1 if one_sided else 0)
    laplace = abs(deviation - LAPLACE_RATIO * sigma) < abs(deviation - GAUSS_RATIO * sigma)
    if one_sided:  # half of the distribution was cut away: its moments are those about 0
        positive = row[row > 0]
        deviation = float(positive.mean(dtype=np.float64)) if positive.size else 0.0
        sigma = float(np.sqrt(np.square(positive, dtype=np.float64).mean())) if positive.size else 0.0
        return 0.0, min(float(row.max()), laplace_clip(bits) * deviation if laplace else gauss_clip(bits) * sigma)
    reach = laplace_clip(bits) * deviation if laplace else gauss_clip(bits) * sigma
    return max(float(row.min()), mean - reach), min(float(row.max()), mean + reach)
