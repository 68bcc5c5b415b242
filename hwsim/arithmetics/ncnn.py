"""ncnn's requantize.cpp: float32(acc) scale_in + bias, times scale_out = 1 / y_scale, round half away from zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, round_away
from hwsim.arithmetics.tensorrt import parameters
from hwsim.kernels.compiling import scalar
from hwsim.quant import Array, QuantParams

__all__ = ["BIAS", "MULTIPLIER", "REAL", "parameters", "quantize", "requantize"]

BIAS = "float32"
MULTIPLIER = "fp32"
REAL = "float32"


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = np.float32(np.float32(acc) * np.float32(p[0])) + np.float32(p[1])
    return np.int64(clamp(round_away(real * np.float32(p[2])), low - zero_point, high - zero_point)) + zero_point


def quantize(x: Array, y: QuantParams) -> Array:
    """float2int8(x scale) with scale = 1 / y_scale."""
    v = round_away(x.astype(np.float32) * y.spread(np.float32(1) / y.scale, x.shape))
    zero_point = y.spread(y.zero_point, x.shape)
    return (np.clip(v, y.qmin - zero_point, y.qmax - zero_point) + zero_point).astype(y.format.dtype)
