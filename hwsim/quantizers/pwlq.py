"""PWLQ: fine steps in the middle, coarse ones in the tails (Fang et al., ECCV 2020, section 3; non-overlapping regions; Q23)."""

from __future__ import annotations

from math import erf, exp, log, pi, sqrt

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate", "gauss_breakpoint", "gauss_root"]

NEEDS = "a region bit for each weight and two accumulators, for the middle and the tails"


def gauss_breakpoint(m: float) -> float:
    """The published approximation ln(0.86143114 m + 0.607901097), in standard deviations, for the largest weight m."""
    return log(0.86143114 * m + 0.607901097)


def gauss_root(m: float) -> float:
    """The breakpoint itself: the root of p - 2m + 2m F(p) + m f(p) (2p - m) for N(0, 1), by bisection on 0 ... m."""

    def slope(p: float) -> float:
        return p - 2 * m + m * (1 + erf(p / sqrt(2))) + m * exp(-p * p / 2) / sqrt(2 * pi) * (2 * p - m)

    low, high = 0.0, m / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def approximate(values: Array, bits: int) -> Approximation:
    """-p ... p on `bits` bits, p ... m and -m ... -p on one bit less each, p from the row's standard deviation."""
    sigma = np.maximum(values.std(-1, keepdims=True), 1e-30)
    top = np.maximum(np.abs(values).max(-1, keepdims=True), 1e-30)
    p = np.array([[gauss_breakpoint(max(float(r), 0.5))] for r in (top / sigma)[:, 0]]) * sigma
    p = np.minimum(p, top)
    magnitude = np.abs(values)
    middle = np.rint(values / (p / (2 ** (bits - 1) - 1))) * (p / (2 ** (bits - 1) - 1))
    step = np.maximum(top - p, 1e-30) / (2 ** (bits - 1) - 1)
    tail = np.sign(values) * (p + np.rint((magnitude - p) / step) * step)
    return Approximation(np.where(magnitude <= p, middle, tail))
