"""FBGEMM on x86 (src/QuantUtils.cc): zero_point + lrintf(acc * multiplier), clamped in integers; half to even."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.onnxruntime import PARAMETERS, parameters
from hwsim.kernels.numbers import f32, i32

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]

BIAS = "int32"
MULTIPLIER = "fp32"
FAR = 1 << 24  # beyond every stored number


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    whole = np.rint(f32(acc) * f32(p[0]))
    return clamp(i32(clamp(whole, f32(-FAR), f32(FAR))) + zero_point, low, high)
