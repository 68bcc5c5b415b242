"""An integer quotient, ties away from zero: LiteRT's reference AVERAGE_POOL_2D, (sum +- n / 2) / n of the stored numbers.

The window's real scale is x_scale / (y_scale n) with equal scales by contract, so the multiplier is 1 / n.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.numbers import i64, select
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int32"
PARAMETERS = ("i32",)


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    """How many numbers were added."""
    return (np.rint(np.float64(y_scale) / (np.float64(x_scale) * np.float64(w_scale))),)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    n = i64(p[0])
    total = acc + n * zero_point
    size = (np.abs(total) + n // 2) // n
    return clamp(select(total < 0, -size, size), low, high)
