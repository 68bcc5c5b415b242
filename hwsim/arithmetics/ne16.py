"""GAP9 NE16's normalization: (acc * 8-bit scale + 2^(s-1)) >> s per channel, ties up (GreenWaves NE16 model; rounding enabled)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.numbers import i64
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int8"
PARAMETERS = ("i32", "i32")


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    """The largest scale below 2^8 and its shift (at most 31)."""
    mantissa, exponent = np.frexp(np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale))
    shift = np.minimum(8 - exponent, 31)
    return np.minimum(np.rint(mantissa * 2.0 ** (exponent + shift)), 255.0), np.float64(shift)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.maximum(i64(p[1]), 0), np.maximum(-i64(p[1]), 0)
    return clamp(((((i64(acc) * i64(p[0])) << left) + ((np.int64(1) << right) >> 1)) >> right) + zero_point, low, high)
