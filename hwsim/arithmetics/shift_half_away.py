"""A right shift with ties away from zero (Vitis AI DPU method 3, std::round)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, PARAMETERS, POWER_OF_TWO, parameters
from hwsim.kernels.numbers import i64

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "POWER_OF_TWO", "parameters", "requantize"]


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[0]), 0), np.maximum(-i64(p[0]), 0)
    return clamp(rdbp(i64(acc) << left, right) + zero_point, low, high)
