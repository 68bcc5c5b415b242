"""gemmlowp's fixed point whose second rounding takes ties up: Arm's SQRDMULH and SRSHL, and LiteRT's optimized kernels on x86 too.

ARM Architecture Reference Manual, SQRDMULH and SRSHL; tensorflow/lite/kernels/internal/optimized (ruy's fixed-point epilogue).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.gemmlowp import BIAS, MULTIPLIER, PARAMETERS, high_product, parameters
from hwsim.kernels.numbers import i64

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]


def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right = np.maximum(-i64(p[1]), 0)
    return clamp(((i64(high_product(acc, p)) + (((right * 0 + 1) << right) >> 1)) >> right) + zero_point, low, high)
