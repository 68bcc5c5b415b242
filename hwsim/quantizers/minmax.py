"""Min-max: the grid spans the smallest and largest value, with 0 in the range and exact (Jacob et al., CVPR 2018, eq. 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.quant import Array

__all__ = ["fit"]

LEAST_SCALE = 2.0**-126


def fit(low: Any, high: Any, qmin: int, qmax: int, symmetric: bool, power_of_two: bool) -> tuple[Array, Array]:
    """Scale (float32) and zero point of ranges [low, high].

    Symmetric: scale = max|x| / qmax around 0 (the middle of an unsigned grid).  Power of two: 2^round(log2 scale), as MQBench.
    """
    low, high = np.minimum(np.asarray(low, np.float64), 0), np.maximum(np.asarray(high, np.float64), 0)
    scale: Array
    if symmetric:
        middle = 0 if qmin < 0 else (qmax + 1) // 2
        scale, zero = np.maximum(-low, high) / (qmax - middle), np.full(low.shape, middle, np.int64)
    else:
        scale = (high - low) / (qmax - qmin)
        safe = np.where(scale > 0, scale, 1)
        zero = np.clip(np.rint(qmin - low / safe), qmin, qmax).astype(np.int64)
    scale = np.where(scale > LEAST_SCALE, scale, 1.0)
    if power_of_two:
        scale = 2.0 ** np.round(np.log2(scale))
    return scale.astype(np.float32), zero
