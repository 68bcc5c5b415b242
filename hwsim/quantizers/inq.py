"""INQ's levels: powers of two and zero, +-2^n1 ... +-2^n2 (Zhou et al., ICLR 2017, eq. 1 to 4; Q55), without the retraining between."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate", "exponents"]

NEEDS = "shifts instead of multipliers"


def exponents(largest: float, bits: int) -> tuple[int, int]:
    """n1 = floor(log2(4 max|w| / 3)), n2 = n1 + 1 - 2^(b-1) / 2."""
    n1 = int(np.floor(np.log2(4 * largest / 3)))
    return n1, n1 + 1 - 2 ** (bits - 1) // 2


def approximate(values: Array, bits: int) -> Approximation:
    """|w| goes to b when (a + b) / 2 <= |w| < 3b / 2 for neighbouring levels a < b, a may be 0; one set of levels for the layer."""
    magnitude = np.abs(values)
    if not magnitude.any():
        return Approximation(values, np.ones((len(values), 1)))
    n1, n2 = exponents(float(magnitude.max()), bits)
    levels = np.array([0.0, *(2.0**n for n in range(n2, n1 + 1))])
    index = np.searchsorted((levels[1:] + levels[:-1]) / 2, magnitude, "right")
    return Approximation(np.sign(values) * levels[index], np.full((len(values), 1), 2.0**n2))
