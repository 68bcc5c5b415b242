"""LiteRT's reference kernels of two stored numbers: ADD, SUB, MUL, MAXIMUM, MINIMUM, PRELU.

tensorflow/lite/kernels/{add,sub,mul,activations}.cc prepare the multipliers, internal/reference/integer_ops apply them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, left32, quantized_multiplier, rdbp, wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.kernels.numbers import f32, f64, i32, i64, in_int32, rounded_high_product
from hwsim.quant import QuantParams

__all__ = ["BINARY", "multiplier"]


def multiplier(real: Any) -> tuple[float, float]:
    """The fixed-point multiplier and exponent of one real number."""
    m, e = quantized_multiplier(f64(real))
    return float(m), float(e)


def _zeros(*quants: QuantParams) -> tuple[float, ...]:
    return tuple(float(q.zero_point) for q in quants)


def _sum_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """Both operands on a common scale of twice the larger, with 20 (15 for int16) bits more; then the output's."""
    left = 15 if y.bits > 8 else 20
    twice = f64(f32(2) * np.maximum(f32(a.scale), f32(b.scale)))
    out = twice / f64(f32(1 << left) * f32(y.scale))
    return (*multiplier(f64(a.scale) / twice), *multiplier(f64(b.scale) / twice), *multiplier(out), *_zeros(a, b, y), float(left))


def _operand(q: Any, zero: Any, left: Any, m: Any, e: Any) -> Any:
    return scaled(left32(q - i32(zero), i32(left)), (m, e))


def _sum_out(total: Any, p: Any, low: Any, high: Any) -> Any:
    product = rounded_high_product(in_int32(wrap32(total)), i32(p[4]))
    return clamp(rdbp(product, np.maximum(-i32(p[5]), 0)) + i32(p[8]), low, high)


def add(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return _sum_out(_operand(a, p[6], p[9], p[0], p[1]) + _operand(b, p[7], p[9], p[2], p[3]), p, low, high)


def sub(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return _sum_out(_operand(a, p[6], p[9], p[0], p[1]) - _operand(b, p[7], p[9], p[2], p[3]), p, low, high)


def _mul_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    return (*multiplier(f32(f32(f32(a.scale) * f32(b.scale)) / f32(y.scale))), *_zeros(a, b, y))


def mul(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    product = wrap32((a - i64(p[2])) * (b - i64(p[3])))
    return clamp(scaled(product, (p[0], p[1])) + i64(p[4]), low, high)


def _none(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """Scales are equal by contract: the numbers themselves are compared."""
    return (0.0,)


def larger(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return np.maximum(a, b)


def smaller(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return np.minimum(a, b)


def _prelu_parameters(x: QuantParams, slope: QuantParams, y: QuantParams) -> tuple[float, ...]:
    positive = multiplier(f32(f32(x.scale) / f32(y.scale)))
    return (*positive, *multiplier(f32(f32(f32(x.scale) * f32(slope.scale)) / f32(y.scale))), *_zeros(x, slope, y))


def prelu(x: Any, slope: Any, p: Any, low: Any, high: Any) -> Any:
    v = x - i64(p[4])
    up, down = scaled(v, (p[0], p[1])), scaled(v * (slope - i64(p[5])), (p[2], p[3]))
    negative = i64(v < 0)
    return clamp(up + negative * (down - up) + i64(p[6]), low, high)


BINARY: dict[str, tuple[Callable[..., tuple[float, ...]], Callable[..., Any]]] = {
    "add": (_sum_parameters, add),
    "sub": (_sum_parameters, sub),
    "mul": (_mul_parameters, mul),
    "max": (_none, larger),
    "min": (_none, smaller),
    "prelu": (_prelu_parameters, prelu),
}
