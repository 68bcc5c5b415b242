"""TensorFlow Lite's and CMSIS-NN's form for 64-bit accumulators (int16 activations): a 16-bit multiplier, one rounding, ties up."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, wrap32
from hwsim.arithmetics.gemmlowp import PARAMETERS, parameters
from hwsim.kernels.numbers import i64, select

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "reduced", "requantize"]

BIAS = "int64"
MULTIPLIER = "int16"


def reduced(acc: Any, p: Any) -> Any:
    """MultiplyByQuantizedMultiplier of an int64."""
    m, right = i64(p[0]), 15 - i64(p[1])
    factor = select(m < 0x7FFF0000, (m + 32768) >> 16, 0x7FFF)
    return wrap32((i64(acc) * factor + (np.int64(1) << (right - 1))) >> right)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    return clamp(reduced(acc, p), low - zero_point, high - zero_point) + zero_point
