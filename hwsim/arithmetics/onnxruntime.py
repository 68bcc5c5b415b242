"""ONNX Runtime's CPU QOperator kernels (QLinearConv, QLinearMatMul, QGemm, QLinearAdd, ...) on x86-64 with FMA.

Proven equal by value, ONNX Runtime 1.31: float32 scale (x_scale w_scale) / y_scale, every operation rounded to float32; the
product is clamped in float, rounded half to even, and the zero point is added last (MlasRequantizeOutput).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, fma32
from hwsim.kernels.numbers import f32, i32
from hwsim.quant import Array, QuantParams

BIAS = "int32"
MULTIPLIER = "fp32"
AVERAGE_POOL = "float32"
SINGLE_LEFT_SWAPS = True  # a left operand of one element is taken as the right one
PARAMETERS = ("f32",)


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    return (((f32(x_scale) * f32(w_scale)).astype(np.float32) / f32(y_scale)).astype(np.float64),)


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    v = f32(acc) * f32(p[0])
    v = clamp(v, f32(low - zero_point), f32(high - zero_point))
    return i32(np.rint(v)) + zero_point


def rescale(acc: Any, p: Any) -> Any:
    """What `requantize` rounds to, before zero point and limits: a scale below 1 keeps it in int32."""
    return i32(np.rint(f32(acc) * f32(p[0])))


def _below_one(p: Any) -> bool:
    return bool(np.all((p[0] >= 0) & (p[0] < 1)))


RESCALE = (rescale, _below_one)


def average_scale(x: QuantParams, y: QuantParams, count: int) -> Any:
    """QLinearGlobalAveragePool: x_scale / float32(y_scale count)."""
    return np.float64(f32(x.scale) / f32(f32(y.scale) * f32(count)))


def add_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """QLinearAdd folds both zero points into one constant, with a fused multiply-add."""
    ra, rb = f32(a.scale) / f32(y.scale), f32(b.scale) / f32(y.scale)
    constant = f32(f32(y.zero_point) - fma32(ra, f32(a.zero_point), f32(rb * f32(b.zero_point))))
    return float(ra), float(rb), float(constant)


def _sum(a: Any, b: Any, p: Any) -> Any:
    return np.rint(fma32(f32(a), f32(p[0]), fma32(f32(b), f32(p[1]), f32(p[2]))))


def add(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return i32(clamp(_sum(a, b, p), f32(low), f32(high)))


def unlimited_add(a: Any, b: Any, p: Any) -> Any:
    """What `add` limits: of bytes, ratios up to 2^20 keep it in int32."""
    return i32(_sum(a, b, p))


def mul_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    ratio = f32(f32(f32(a.scale) * f32(b.scale)) / f32(y.scale))
    return float(ratio), float(a.zero_point), float(b.zero_point), float(y.zero_point)


def mul(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    """QLinearMul: no fused multiply-add, and the zero point is added before rounding, so a tie depends on its parity."""
    product = f32((i32(a) - i32(p[1])) * (i32(b) - i32(p[2])))
    v = product * f32(p[0]) + f32(p[3])
    return i32(clamp(np.rint(v), f32(low), f32(high)))


BINARY = {"add": (add_parameters, add), "mul": (mul_parameters, mul)}
UNLIMITED = {"add": (unlimited_add, lambda p: max(map(abs, p)) < 2.0**20)}


def softmax_table(n: int, x: QuantParams, y: QuantParams) -> tuple[Array, float]:
    """QLinearSoftmax since release 1.32: exponentials of (number - row maximum) scaled to just below overflow of their sum, and the
    factor floor(1 / y_scale).  Before, quotients were float32 and a product over its range became undefined numbers."""
    shift = max(0.0, float(np.log(f32(np.finfo(np.float32).max) / f32(n))) - 5) / float(x.scale)
    with np.errstate(over="ignore"):
        table = np.exp((-np.arange(256) + shift) * float(x.scale)).astype(np.float32)
    return table, float(np.floor(f32(1) / f32(y.scale)))
