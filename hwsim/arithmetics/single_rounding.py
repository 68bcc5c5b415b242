"""TensorFlow Lite built with TFLITE_SINGLE_ROUNDING: (acc m + 2^(30-e)) >> (31-e), ties up; also most NPUs' multiply and shift."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.gemmlowp import parameters
from hwsim.kernels.compiling import scalar

__all__ = ["BIAS", "MULTIPLIER", "parameters", "requantize"]

BIAS = "int32"
MULTIPLIER = "int32"


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    m, right = np.int64(p[0]), np.minimum(31 - np.int64(p[1]), 62)
    return clamp(((acc * m + (np.int64(1) << (right - 1))) >> right) + zero_point, low, high)
