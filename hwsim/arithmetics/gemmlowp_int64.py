"""TensorFlow Lite's and CMSIS-NN's form for 64-bit accumulators (int16 activations): a 16-bit multiplier, one rounding, ties up."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, wrap32
from hwsim.arithmetics.gemmlowp import PARAMETERS, parameters
from hwsim.kernels.numbers import i64, select

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]

BIAS = "int64"
MULTIPLIER = "int16"


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    m, right = i64(p[0]), 15 - i64(p[1])
    reduced = select(m < 0x7FFF0000, (m + 32768) >> 16, 0x7FFF)
    scaled = wrap32((i64(acc) * reduced + (np.int64(1) << (right - 1))) >> right)
    return clamp(scaled, low - zero_point, high - zero_point) + zero_point
