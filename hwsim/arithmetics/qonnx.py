"""The `qonnx` package: real numbers in float32 between its quantizers, float32(acc) (x_scale w_scale) + bias over y_scale, half to even.

The package itself adds up dequantized products in float32; the exact sum here is what these approximate, and the two are equal while
the package's sums are exact (scales that are powers of two and sums below 2^24).
"""

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
    return tuple(np.float64(v) for v in (scale, np.zeros_like(scale) if bias is None else f32(bias), f32(y_scale)))


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    real = np.float32(np.float32(acc) * np.float32(p[0])) + np.float32(p[1])
    return np.int64(clamp(np.rint(np.float32(real) / np.float32(p[2])), low - zero_point, high - zero_point)) + zero_point
