"""TensorRT's INT8 epilogue (as PPQ models it): float32(acc) (x_scale w_scale) + bias, times 1 / y_scale, half to even."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.compiling import scalar
from hwsim.quant import Array

BIAS = "float32"
MULTIPLIER = "fp32"
REAL = "float32"
f32 = np.float32


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    scale = (f32(x_scale) * f32(w_scale)).astype(f32)
    inverse = f32(1) / f32(y_scale)
    return tuple(np.float64(v) for v in (scale, np.zeros_like(scale) if bias is None else f32(bias), inverse))


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = np.float32(np.float32(acc) * np.float32(p[0])) + np.float32(p[1])
    return np.int64(clamp(np.rint(real * np.float32(p[2])), low - zero_point, high - zero_point)) + zero_point
