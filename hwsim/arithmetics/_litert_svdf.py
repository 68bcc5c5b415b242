"""LiteRT's reference SVDF on int8 (reference_ops::EvalIntegerSVDF): both multipliers from scales in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._litert_pairs import multiplier
from hwsim.arithmetics._rounding import wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.quant import Array, QuantParams

__all__ = ["svdf"]

f32 = np.float32


def svdf(sums: Array, a: QuantParams, b: QuantParams, y: QuantParams) -> Any:
    """Sums of products of two tensors' stored numbers on the grid of a third."""
    real = f32(f32(f32(a.scale) * f32(b.scale)) / f32(y.scale))
    found = scaled(wrap32(sums), multiplier(real)) + int(y.zero_point)
    return np.clip(found, int(y.qmin), int(y.qmax))
