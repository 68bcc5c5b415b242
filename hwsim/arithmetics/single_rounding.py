"""TensorFlow Lite built with TFLITE_SINGLE_ROUNDING: (acc m + 2^(30-e)) >> (31-e), ties up; also most NPUs' multiply and shift."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.gemmlowp import PARAMETERS, parameters
from hwsim.kernels.numbers import i64

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]

BIAS = "int32"
MULTIPLIER = "int32"


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    m, right = i64(p[0]), np.minimum(31 - i64(p[1]), 62)
    return clamp(((i64(acc) * m + (np.int64(1) << (right - 1))) >> right) + zero_point, low, high)
