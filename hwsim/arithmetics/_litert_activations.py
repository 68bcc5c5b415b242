"""LiteRT's reference kernels of one stored number, and of a real one that is stored: activations, QUANTIZE, CONCATENATION.

Every function takes stored numbers (int64), the quantization of input and output and the operator's parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwsim.arithmetics._fixed_point import interpolation_table
from hwsim.arithmetics._litert_pairs import multiplier
from hwsim.arithmetics._rounding import clamp, quantized_multiplier, rdbp, round_away, to_int32, wrap32
from hwsim.arithmetics.gemmlowp import requantize, scaled
from hwsim.kernels import numbers
from hwsim.quant import Array, QuantParams

__all__ = ["QUANTIZE", "REQUANTIZE", "STORED"]

f32, f64 = np.float32, np.float64
Function = Callable[[Array, QuantParams, QuantParams, Mapping[str, Any]], Array]


def _store(x: Any, scale: Any, zero_point: Any, low: Any, high: Any) -> Any:
    """QUANTIZE of real numbers: round(x / scale) half away, + zero point in int32, clamped (AffineQuantize)."""
    return clamp(wrap32(to_int32(numbers.f64(round_away(x / scale))) + zero_point), low, high)


QUANTIZE = (f32, _store)


def _ratio(x: QuantParams, y: QuantParams) -> tuple[float, float]:
    return multiplier(f64(x.scale) / f64(y.scale))


def _requantize(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    """QUANTIZE of stored numbers (reference_ops::Requantize)."""
    return scaled(q - x.zero_point, _ratio(x, y)) + y.zero_point


REQUANTIZE = (_ratio, requantize)


def _concat(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    """CONCATENATION of uint8 on another grid (ConcatenationWithScaling); other formats are copied, whatever their scales."""
    if y.format.name != "uint8":
        return q
    ratio = f32(f32(x.scale) * f32(f32(1) / f32(y.scale)))
    bias = f32(f32(-x.zero_point) * ratio)
    return round_away(((q.astype(f32) * ratio).astype(f32) + bias).astype(f32)).astype(np.int64) + y.zero_point


def _stored_bound(real: float, y: QuantParams) -> int:
    return int(y.zero_point) + int(round_away(f32(real) / f32(y.scale)))


def _clip(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    """RELU, RELU6, RELU_N1_TO_1 as operators: requantized, then bounded."""
    v = scaled(q - x.zero_point, multiplier(f32(f32(x.scale) / f32(y.scale)))) + y.zero_point
    high = int(y.qmax) if np.isinf(params["high"]) else min(int(y.qmax), _stored_bound(params["high"], y))
    return np.minimum(np.maximum(v, max(int(y.qmin), _stored_bound(params["low"], y))), high)


def _relu(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    return _clip(q, x, y, {"low": 0.0, "high": np.inf})


def _leaky_relu(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    v, ratio = q - x.zero_point, f32(f32(f32(x.scale) * f32(params["alpha"])) / f32(y.scale))
    m, e = multiplier(abs(ratio))
    below = scaled(v, (m, e)) * (-1 if ratio < 0 else 1)
    return np.where(v >= 0, scaled(v, multiplier(f32(f32(x.scale) / f32(y.scale)))), below) + y.zero_point


def _abs(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    v = np.abs(q - x.zero_point)
    return (v if x.scale == y.scale else scaled(v, multiplier(f32(f32(x.scale) / f32(y.scale))))) + y.zero_point


def _by_float32(function: Callable[[Array], Array], q: Array, x: QuantParams, y: QuantParams) -> Array:
    """A table made in float32: f(x_scale (q - zero)) / y_scale by the reciprocal, half away."""
    t = function((f32(x.scale) * (q - x.zero_point).astype(f32)).astype(f32))
    return round_away((t * f32(f32(1) / f32(y.scale))).astype(f32)).astype(np.int64) + y.zero_point


def _sigmoid(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    if x.bits > 8:
        return logistic16(_scaled16(q, x, (0,)))
    with np.errstate(over="ignore"):
        return _by_float32(lambda v: (f32(1) / (f32(1) + np.exp(-v.astype(f64)).astype(f32))).astype(f32), q, x, y)


def _tanh(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    if x.bits > 8:
        return tanh16(_scaled16(q, x, (0, 1)))
    return _by_float32(lambda v: np.tanh(v.astype(f64)).astype(f32), q, x, y)


def _scaled16(q: Array, x: QuantParams, shifts: tuple[int, ...]) -> Array:
    """int16 inputs of LOGISTIC and TANH in steps of 1 / (24 512): a shift for scales that are powers of two, else 15 bits of multiplier."""
    log = f32(f32(np.log(f32(x.scale))) * f32(f32(1) / f32(np.log(f32(2)))))
    whole = int(round_away(log))
    if abs(f32(log - whole)) < f32(1e-3) and 12 + whole in shifts:
        return wrap32(q * (3 << (12 + whole)))
    real, left = float(x.scale) * 4096.0 * 3.0, 0
    while real <= 32767.0 / 2.0 and left <= 30:
        real, left = real * 2.0, left + 1
    return wrap32(wrap32(q * int(real)) + ((1 << (left - 1)) if left else 0)) >> left


_SIGMOID = interpolation_table(lambda k: 65536 / (1 + np.exp(-k / 24.0)))


def _interpolated(v: Array, bits: int, top: int) -> Array:
    """The sigmoid at |v|, `bits` of its steps being fraction; beyond the table it is `top`."""
    size = np.abs(v)
    i, part = np.minimum(size >> bits, 254), size & ((1 << bits) - 1)
    inside = (_SIGMOID[i] << bits) + part * (_SIGMOID[i + 1] - _SIGMOID[i])
    return np.where(size >> bits >= 255, top, inside)


def logistic16(v: Array) -> Array:
    r = _interpolated(v, 9, 0x7FFF << 10)
    return np.where(v >= 0, r + (1 << 9), (1 << 25) - r + (1 << 9) - 1) >> 10


def tanh16(v: Array) -> Array:
    r = _interpolated(v, 8, 0xFFFF << 8)
    return np.where(v >= 0, r - (1 << 23) + (1 << 7), -r + (1 << 23) + (1 << 7) - 1) >> 8


def _sixteen_bits(real: Any) -> tuple[int, int]:
    """A multiplier cut to 16 bits (DownScaleInt32ToInt16Multiplier)."""
    m, e = (int(v) for v in quantized_multiplier(f64(real)))
    return (32767 if m >= 2**31 - 2**15 else (m + (1 << 15)) >> 16), e


def _srdhm16(a: Array, b: int) -> Array:
    return np.minimum((a * b + (1 << 14)) >> 15, 32767)


def _hard_swish(q: Array, x: QuantParams, y: QuantParams, params: Mapping[str, Any]) -> Array:
    """x relu6(x + 3) / 6 with 7 more bits (reference_ops::HardSwish); the last product is truncated."""
    fine = f32(f32(1 / 128.0) * f32(x.scale))
    m_out, e_out = _sixteen_bits(f32(fine / f32(y.scale)))
    m_relu, e_relu = _sixteen_bits(f32(fine / f32(f32(3) / f32(32768))))
    v = (q - x.zero_point) << 7
    v = ((v + 32768) & 65535) - 32768
    r = np.clip(v << max(e_relu - 1, 0), -32768, 32767)
    r = _srdhm16(r, m_relu)
    r = np.clip(r << 1, -32768, 32767) if e_relu > 0 else rdbp(r, max(-e_relu, 0))
    product = ((r + 32768) >> 1) * _srdhm16(v, m_out)
    truncated = np.where(product < 0, -(-product >> 15), product >> 15)
    return rdbp(truncated, max(-e_out, 0)) + y.zero_point


STORED: dict[str, Function] = {
    "requantize": _requantize,
    "concat": _concat,
    "clip": _clip,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "abs": _abs,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "hard_swish": _hard_swish,
}
