"""One rounding in double precision, ties away from zero: LiteRT's reference FULLY_CONNECTED (reference_ops, no fixed-point multiplier).

y = int32(round(double(acc) x_scale w_scale / y_scale)) + zero point; what does not fit into int32 becomes -2^31, as x86-64 converts it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, round_away, to_int32, wrap32
from hwsim.kernels.numbers import f64
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int53"
PARAMETERS = ("f64",)


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    return (np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale),)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    return clamp(wrap32(to_int32(round_away(f64(acc) * p[0])) + zero_point), low, high)
