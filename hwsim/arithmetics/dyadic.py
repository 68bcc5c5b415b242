"""HAWQ-V3's dyadic requantization (utils/quantization_utils fixedpoint_fn): round(acc m / 2^e) in float64, half to even.

m = round-half-up(mantissa 2^31) and e = 31 - exponent of (x_scale w_scale) / y_scale, the product and y_scale taken in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.numbers import f64, i32
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int32"
PARAMETERS = ("f64", "f64")


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    real = np.float64((np.float32(x_scale) * np.float32(w_scale)).astype(np.float32)) / np.float64(np.float32(y_scale))
    mantissa, exponent = np.frexp(real)
    return np.floor(mantissa * 2.0**31 + 0.5), np.float64(2.0) ** (exponent - 31)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    return i32(clamp(np.rint(f64(acc) * p[0] * p[1]), f64(low - zero_point), f64(high - zero_point))) + zero_point
