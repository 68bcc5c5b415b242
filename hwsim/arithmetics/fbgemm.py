"""FBGEMM on x86 (src/QuantUtils.cc): zero_point + lrintf(acc * multiplier), clamped in integers; half to even."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.onnxruntime import parameters
from hwsim.kernels.compiling import scalar

__all__ = ["BIAS", "MULTIPLIER", "parameters", "requantize"]

BIAS = "int32"
MULTIPLIER = "fp32"


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    return clamp(np.int64(np.rint(np.float32(acc) * np.float32(p[0]))) + zero_point, low, high)
