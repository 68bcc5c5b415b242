"""LiteRT's reference SVDF on int8 (reference_ops::EvalIntegerSVDF): both multipliers from scales in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._litert_pairs import multiplier
from hwsim.arithmetics._rounding import wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.quant import QuantParams

__all__ = ["on_grid", "svdf"]

f32 = np.float32


def svdf(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[tuple[float, float], Any]:
    """Multiplier and exponent for sums of products of two tensors' stored numbers on the grid of a third, and the function of both."""
    return multiplier(f32(f32(f32(a.scale) * f32(b.scale)) / f32(y.scale))), on_grid


def on_grid(sums: Any, p: Any) -> Any:
    """Sums on the other grid, before its zero point and limits."""
    return scaled(wrap32(sums), p)
