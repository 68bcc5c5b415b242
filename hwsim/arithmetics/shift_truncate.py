"""A right shift that drops the fraction: toward zero (Vitis AI DPU method 6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, POWER_OF_TWO, parameters
from hwsim.kernels.compiling import scalar, select

__all__ = ["BIAS", "MULTIPLIER", "POWER_OF_TWO", "parameters", "requantize"]


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.int64(np.maximum(p[0], 0)), np.int64(np.maximum(-p[0], 0))
    size = np.abs(acc << left) >> right
    return clamp(select(acc < 0, -size, size) + zero_point, low, high)
