"""What an arithmetic computes for operators it has no formula of its own for.

Sums and products of stored numbers are built from the arithmetic's own `requantize`: each operand is rescaled to the output's
grid, then a saturating add (graph rule 3 of MQBench); a product is an accumulator of one term.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.kernels.numbers import f32, f64, i32
from hwsim.quant import Array, QuantParams

WIDE = 1 << 30


def add_parameters(arithmetic: ModuleType, a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The requantization of each operand to the output's scale."""
    one = np.float32(1)
    return arithmetic.parameters(a.scale, one, y.scale), arithmetic.parameters(b.scale, one, y.scale)


def add(arithmetic: ModuleType, a: Array, b: Array, quants: tuple[QuantParams, QuantParams, QuantParams], low: int, high: int) -> Array:
    """Rescale both operands, add, saturate."""
    pa, pb = add_parameters(arithmetic, *quants)
    ra = arithmetic.requantize(a - int(quants[0].zero_point), pa, 0, -WIDE, WIDE)
    rb = arithmetic.requantize(b - int(quants[1].zero_point), pb, 0, -WIDE, WIDE)
    return np.clip(ra + rb + int(quants[2].zero_point), low, high)


def mul(arithmetic: ModuleType, a: Array, b: Array, quants: tuple[QuantParams, QuantParams, QuantParams], low: int, high: int) -> Array:
    """An accumulator of one product."""
    qa, qb, y = quants
    p: Any = arithmetic.parameters(qa.scale, qb.scale, y.scale)
    return arithmetic.requantize((a - int(qa.zero_point)) * (b - int(qb.zero_point)), p, int(y.zero_point), low, high)


def average_scale(x: QuantParams, y: QuantParams, count: int) -> Any:
    """The scale of a sum of `count` stored numbers."""
    return np.float64(x.scale) / (np.float64(y.scale) * count)


def softmax_table(n: int, x: QuantParams, y: QuantParams) -> tuple[Array, float]:
    """Exponentials of (number - row maximum) in float32, and the factor 1 / y_scale."""
    table = np.exp(-np.arange(1 << x.bits).astype(np.float64) * np.float64(x.scale)).astype(np.float32)
    return table, float(np.float32(1) / np.float32(y.scale))


def interpolated(tl: Any, tr: Any, bl: Any, br: Any, wy: Any, wx: Any, *p: Any) -> Any:
    """Four stored neighbours dequantized, blended in float32 by columns and then by rows, and quantized (ONNX's Resize between quantizers).

    p: zero point and scale of the input; scale, limits and zero point of the output.
    """
    corners = [f32(i32(q) - i32(p[0])) * f32(p[1]) for q in (tl, tr, bl, br)]
    x, y = f32(wx), f32(wy)
    above, below = (a * (f32(1) - x) + b * x for a, b in (corners[:2], corners[2:]))
    ratio = f64((above * (f32(1) - y) + below * y) / f32(p[2]))
    return i32(np.rint(clamp(ratio, p[3] - p[5], p[4] - p[5])) + p[5])
