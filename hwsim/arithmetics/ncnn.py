"""ncnn's requantize.cpp: float32(acc) scale_in + bias, times scale_out = 1 / y_scale, round half away from zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, round_away
from hwsim.arithmetics.tensorrt import PARAMETERS, parameters
from hwsim.kernels.numbers import f32, i32
from hwsim.quant import Array

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "QUANTIZE", "REAL", "parameters", "requantize"]

BIAS = "float32"
MULTIPLIER = "fp32"
REAL = "float32"


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = f32(acc) * f32(p[0]) + f32(p[1])
    return i32(clamp(round_away(real * f32(p[2])), f32(low - zero_point), f32(high - zero_point))) + zero_point


def _inverse(scale: Array) -> Array:
    return np.float32(1) / np.asarray(scale, np.float32)


def _store(x: Any, inverse: Any, zero_point: Any, low: Any, high: Any) -> Any:
    """float2int8(x scale) with scale = 1 / y_scale."""
    return i32(clamp(round_away(x * inverse), f32(low - zero_point), f32(high - zero_point))) + zero_point


QUANTIZE = (_inverse, _store)
