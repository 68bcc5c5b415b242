"""A right shift with ties away from zero (Vitis AI DPU method 3, std::round)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, POWER_OF_TWO, parameters
from hwsim.kernels.compiling import scalar

__all__ = ["BIAS", "MULTIPLIER", "POWER_OF_TWO", "parameters", "requantize"]


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.int64(np.maximum(p[0], 0)), np.int64(np.maximum(-p[0], 0))
    return clamp(rdbp(acc << left, right) + zero_point, low, high)
