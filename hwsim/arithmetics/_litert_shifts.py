"""LiteRT's ADD and SUB of int16 tensors whose scales are powers of two (option pot_scale_int16): shifts to the output's scale, one
saturating sum (reference_ops AddElementwise, `CheckedLog2`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp
from hwsim.arithmetics.gemmlowp import BIAS, MULTIPLIER, PARAMETERS, parameters, requantize
from hwsim.kernels.numbers import i64
from hwsim.quant import QuantParams

__all__ = ["BIAS", "BINARY", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]


def _shifts(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """Right shifts of both operands; the output's scale is the largest."""
    to = float(np.log2(np.float64(y.scale)))
    return tuple(max(to - float(np.log2(np.float64(q.scale))), 0.0) for q in (a, b))


def add(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    total = rdbp(a, i64(p[0])) + rdbp(b, i64(p[1]))
    return clamp(clamp(total, -32768, 32767), low, high)


def sub(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    total = rdbp(a, i64(p[0])) - rdbp(b, i64(p[1]))
    return clamp(clamp(total, -32768, 32767), low, high)


BINARY = {"add": (_shifts, add), "sub": (_shifts, sub)}
