"""Ascend's AscendDequant and AscendQuant: the accumulator leaves as float16, and is scaled again in float16 (half to even).

acc (float32) times deq_scale rounds to float16; the bias is int32 in the accumulator; half(x) half(1 / y_scale) + offset is
rounded to float16 at each operation, then to an integer (vendor's operator documentation).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, half
from hwsim.kernels.compiling import scalar
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "fp16"
REAL = "float16"
f32 = np.float32


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    return np.float64((f32(x_scale) * f32(w_scale)).astype(f32)), np.float64(half(f32(1) / f32(y_scale)))


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = half(np.float32(acc) * np.float32(p[0]))
    scaled = half(half(real * np.float32(p[1])) + np.float32(zero_point))
    return np.int64(clamp(np.rint(scaled), low, high))
