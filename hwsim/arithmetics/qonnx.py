"""The `qonnx` package: real numbers in float32 between its quantizers, float32(acc) (x_scale w_scale) + bias over y_scale, half to even.

The package itself adds up dequantized products in float32; the exact sum here is what these approximate, and the two are equal while
the package's sums are exact (scales that are powers of two and sums below 2^24).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.numbers import f32, i32
from hwsim.quant import Array

BIAS = "float32"
MULTIPLIER = "fp32"
PARAMETERS = ("f32", "f32", "f32")
REAL = "float32"


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    scale = (f32(x_scale) * f32(w_scale)).astype(np.float32)
    return tuple(np.float64(v) for v in (scale, np.zeros_like(scale) if bias is None else f32(bias), f32(y_scale)))


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = f32(acc) * f32(p[0]) + f32(p[1])
    return i32(clamp(np.rint(real / f32(p[2])), f32(low - zero_point), f32(high - zero_point))) + zero_point
