"""A right shift whose ties go up for negative and to even for positive numbers (Vitis AI DPU method 5; MQBench's vitis)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, PARAMETERS, POWER_OF_TWO, parameters
from hwsim.kernels.numbers import i64

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "POWER_OF_TWO", "parameters", "requantize"]


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[0]), 0), np.maximum(-i64(p[0]), 0)
    unit = (np.int64(1) << right) - 1
    value = i64(acc) << left
    up = (value + ((np.int64(1) << right) >> 1)) >> right
    tie = (value & unit) == (unit + 1) >> 1
    return clamp(up - ((right > 0) & tie & (value > 0) & ((up & 1) == 1)) + zero_point, low, high)
