"""Binary weights: alpha sign(w), alpha = mean |w|, the least-squares optimum (BWN, XNOR-Net: Rastegari et al., ECCV 2016, eq. 6; Q48)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate"]

NEEDS = "1-bit weights (bipolar)"


def approximate(values: Array, bits: int) -> Approximation:
    """One alpha for each row; 0 goes up.  `bits` is not looked at."""
    alpha = np.abs(values).mean(-1, keepdims=True)
    return Approximation(alpha * np.where(values >= 0, 1.0, -1.0), alpha)
