"""Ascend's AscendDequant and AscendQuant: the accumulator leaves as float16, and is scaled again in float16 (half to even).

acc (float32) times deq_scale rounds to float16; the bias is int32 in the accumulator; half(x) half(1 / y_scale) + offset is
rounded to float16 at each operation, then to an integer (vendor's operator documentation).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, half
from hwsim.kernels.numbers import f32, i32
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "fp16"
REAL = "float16"
PARAMETERS = ("f32", "f32")


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    return np.float64((f32(x_scale) * f32(w_scale)).astype(np.float32)), np.float64(half(f32(1) / f32(y_scale)))


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = half(f32(acc) * f32(p[0]))
    scaled = half(half(real * f32(p[1])) + f32(zero_point))
    return i32(clamp(np.rint(scaled), f32(low), f32(high)))
