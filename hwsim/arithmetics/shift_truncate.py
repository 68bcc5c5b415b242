"""A right shift that drops the fraction: toward zero (Vitis AI DPU method 6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, PARAMETERS, POWER_OF_TWO, parameters
from hwsim.kernels.numbers import i64, select

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "POWER_OF_TWO", "parameters", "requantize"]


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[0]), 0), np.maximum(-i64(p[0]), 0)
    size = np.abs(i64(acc) << left) >> right
    return clamp(select(acc < 0, -size, size) + zero_point, low, high)
