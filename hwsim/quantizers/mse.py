"""Least squared error: the range shrunk in steps of 1 % to where rounding and clipping together cost least (Q12; OMSE's scale, Q18)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine, fake, snapped

__all__ = ["fit"]

SHRINKS = np.arange(100, 9, -1) / 100
EXPONENTS = (1, 0, -1, -2, -3)


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n) with the least sum of squared errors.

    Power-of-two scales: the exponents around min-max's, one above it among them.
    """
    best, least = None, np.full(len(values), np.inf)
    for scale, zero in _candidates(values, scheme):
        error = np.square(fake(values, (scale, zero), scheme) - values, dtype=np.float64).sum(-1)
        better = error < least
        if best is None:
            best = scale.copy(), zero.copy()
        best[0][better], best[1][better], least[better] = scale[better], zero[better], error[better]
    assert best is not None
    return best


def _candidates(values: Array, scheme: Scheme) -> Iterator[Grid]:
    low, high = values.min(-1).astype(np.float64), values.max(-1).astype(np.float64)
    if not scheme.power_of_two:
        yield from (affine(f * low, f * high, scheme) for f in SHRINKS)
        return
    middle = snapped(affine(low, high, scheme)[0].astype(np.float64))
    for step in EXPONENTS:
        scale = middle * 2.0**step
        reach = scale * (scheme.qmax - scheme.middle if scheme.symmetric else scheme.qmax - scheme.qmin)
        least = -reach if scheme.symmetric else np.minimum(low, 0)
        yield affine(least, least + (2 if scheme.symmetric else 1) * reach, scheme)
