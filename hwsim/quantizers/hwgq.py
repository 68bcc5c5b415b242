"""Half-wave Gaussian quantizer: the uniform step that is best for the positive half of a Gaussian (Cai et al., CVPR 2017; Q58).

The reading without a zero level for x > 0: every positive number goes to the nearest of step 1 ... m, everything else to 0.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import erf, exp, pi, sqrt

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit", "uniform_step"]


@cache
def uniform_step(m: int) -> float:
    """The step d that minimizes E (x - Q(x))^2 over x > 0 for N(0, 1) and levels d, 2d ... md, by its fixed point.

    d = sum_i i E[x; cell i] / sum_i i^2 P(cell i), cells split at (i + 1/2) d: Lloyd's conditions with equal steps.
    """
    d = 1.2 / m**0.8
    for _ in range(400):
        edges = [0.0, *((i + 0.5) * d for i in range(1, m)), float("inf")]
        pairs = list(pairwise(edges))
        first = sum(i * (_density(a) - _density(b)) for i, (a, b) in enumerate(pairs, 1))
        second = sum(i * i * (_share(b) - _share(a)) for i, (a, b) in enumerate(pairs, 1))
        d = first / second
    return d


def _density(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * pi) if x < float("inf") else 0.0


def _share(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n): sigma is the root mean square of what is positive."""
    positive = np.maximum(values.astype(np.float64), 0)
    sigma = np.sqrt(np.square(positive).sum(-1) / np.maximum((positive > 0).sum(-1), 1))
    levels = scheme.qmax - (scheme.middle if scheme.symmetric else scheme.qmin)
    return affine(0 * sigma, uniform_step(levels) * levels * sigma, scheme)
