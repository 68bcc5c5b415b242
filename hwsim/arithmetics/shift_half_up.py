"""A right shift with 2^(s-1) added first: ties up (TVM relay.quantize round_for_shift UPWARD; Vitis AI DPU method 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, PARAMETERS, POWER_OF_TWO, parameters
from hwsim.kernels.numbers import i64

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "POWER_OF_TWO", "parameters", "requantize"]


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[0]), 0), np.maximum(-i64(p[0]), 0)
    return clamp((((i64(acc) << left) + ((np.int64(1) << right) >> 1)) >> right) + zero_point, low, high)
