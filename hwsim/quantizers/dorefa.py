"""DoReFa's weights: 2 q_k(tanh(w) / (2 max|tanh w|) + 1/2) - 1, one bit E|w| sign(w) (Zhou et al. 2016, eq. 9; Q40).

For networks trained with it: the weights change their size, and a network trained in float loses its function.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate", "quantize_k"]

NEEDS = "uniform weights of the width, odd multiples of half a step"


def quantize_k(r: Array, bits: int) -> Array:
    """round((2^k - 1) r) / (2^k - 1) of numbers in 0 ... 1 (eq. 5)."""
    return np.rint((2**bits - 1) * r) / (2**bits - 1)


def approximate(values: Array, bits: int) -> Approximation:
    """The largest |tanh w| and E|w| are those of the whole layer."""
    if bits == 1:
        size = float(np.abs(values).mean())
        return Approximation(size * np.where(values >= 0, 1.0, -1.0), np.full((len(values), 1), size))
    squashed = np.tanh(values)
    found = 2 * quantize_k(squashed / (2 * np.abs(squashed).max()) + 0.5, bits) - 1
    return Approximation(found, np.full((len(values), 1), 1 / (2**bits - 1)))
