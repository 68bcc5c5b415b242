"""gemmlowp's fixed point with double rounding, as TensorFlow Lite's reference kernels and CMSIS-NN compute convolutions.

MultiplyByQuantizedMultiplier = RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(acc << left, m), right); the multiplier is
double(x_scale) double(w_scale) / double(y_scale).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, left32, quantized_multiplier, rdbp
from hwsim.kernels.numbers import i32, rounded_high_product
from hwsim.quant import Array, QuantParams

BIAS = "int32"
MULTIPLIER = "int32"
PARAMETERS = ("i32", "i32")


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    m, e = quantized_multiplier(np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale))
    return np.float64(m), np.float64(e)


def mean_parameters(x: QuantParams, y: QuantParams, count: int) -> tuple[Any, ...]:
    """MEAN (reference_ops QuantizedMeanOrSum): 1 / count is folded into the multiplier, floor((m << k) / count)."""
    m, e = (int(v) for v in parameters(x.scale, np.ones((), np.float32), y.scale))
    shift = min(count.bit_length() - 1, 32, 31 + e)
    return np.float64((m << shift) // count), np.float64(e - shift)


def scaled(acc: Any, p: Any) -> Any:
    """MultiplyByQuantizedMultiplier of an int32."""
    return rdbp(high_product(acc, p), np.maximum(-i32(p[1]), 0))


def _always(p: Any) -> bool:
    return True


RESCALE = (scaled, _always)


def high_product(acc: Any, p: Any) -> Any:
    """SaturatingRoundingDoublingHighMul(acc << left, m); m is never negative, so nothing saturates."""
    return rounded_high_product(left32(acc, np.maximum(i32(p[1]), 0)), i32(p[0]))


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    return clamp(scaled(acc, p), low - zero_point, high - zero_point) + zero_point
