"""Additive powers of two: levels are sums of powers, so that a product is shifts and additions (Li et al., ICLR 2020, eq. 5; Q42)."""

from __future__ import annotations

from itertools import product

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation, nearest_level

__all__ = ["NEEDS", "approximate", "levels_of"]

NEEDS = "bits / 2 shifts and additions instead of a multiplier"
SHRINKS = np.arange(100, 29, -2) / 100


def levels_of(bits: int) -> Array:
    """The unsigned levels of so many bits, 0 ... 1, as build_power_value of yhhhli/APoT_Quantization.

    An even width has bits / 2 terms of 0 and three powers each; 2 bits are uniform; 3 bits are {0, 2^-1, 2^-2, 2^-4} + {0, 2^-3}.
    Raises HwsimError for other widths, which the paper does not define.
    """
    n = bits // 2
    terms = {1: [[0.0, 1.0]], 2: [[0.0, 1.0, 2.0, 3.0]], 3: [[0.0, 0.5, 0.25, 0.0625], [0.0, 0.125]]}.get(bits)
    if terms is None and bits % 2:
        raise HwsimError("apot", "must have 2, 3, 4, 5, 7 or 9 bits with the sign", bits + 1)
    terms = terms or [[0.0, *(2.0 ** -(i + 1 + n * j) for j in range(3))] for i in range(n)]
    sums = np.unique([sum(t) for t in product(*terms)])
    return sums / sums[-1]


def approximate(values: Array, bits: int) -> Approximation:
    """Sign and the levels of one bit less; the clip of each row has the least squared error of steps of 2 %."""
    levels = levels_of(bits - 1)
    top = np.maximum(np.abs(values).max(-1, keepdims=True), 1e-30)
    best, clip, least = np.zeros_like(values), top.copy(), np.full((len(values), 1), np.inf)
    for f in SHRINKS:
        found = np.sign(values) * levels[nearest_level(np.minimum(np.abs(values) / (f * top), 1), levels)] * f * top
        error = np.square(found - values).sum(-1, keepdims=True)
        better = (error < least)[:, 0]
        best[better], clip[better], least[better] = found[better], (f * top)[better], error[better]
    return Approximation(best, clip * float(np.diff(levels).min()))
