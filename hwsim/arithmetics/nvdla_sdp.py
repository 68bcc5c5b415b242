"""NVDLA's SDP converter: (acc * 16-bit scale) >> shift, ties away from zero, saturated (hw/cmod/hls/sdp, CVT)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp
from hwsim.kernels.numbers import i64
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int16"
PARAMETERS = ("i32", "i32")


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    """The largest scale below 2^15 and its shift."""
    mantissa, exponent = np.frexp(np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale))
    return np.minimum(np.rint(mantissa * 2.0**15), 32767.0), np.float64(15 - exponent)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[1]), 0), np.maximum(-i64(p[1]), 0)
    return clamp(rdbp((i64(acc) * i64(p[0])) << left, right) + zero_point, low, high)
