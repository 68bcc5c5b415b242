"""Softmax of float32 rows in the order of ONNX Runtime 1.32 on x86-64 with AVX-512 (MlasComputeSumExpF32Kernel and what follows it).

Proven equal by value.  `exponential` is one definition for arrays and for the lanes of a kernel; `kernels.softmax` has the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._mlas_activations import LOG2, PER_LOG2, ROUNDING, polynomial
from hwsim.arithmetics._rounding import fma32
from hwsim.kernels.numbers import as_float32, as_int32, select
from hwsim.quant import Array

__all__ = ["exponential", "softmax"]

f32 = np.float32
LANES = 16
PART = 1 << 14  # numbers at a time, which stay in the processor's caches
LOWEST = f32(-103.9720840454)
BITS = np.int32(1262485504)  # of ROUNDING
POLYNOMIAL = tuple(
    float.fromhex(c) for c in ("0x1.694p-10", "0x1.125edcp-7", "0x1.555b5ap-5", "0x1.55545p-3", "0x1.fffff6p-2", "0x1p0", "0x1p0")
)


def exponential(x: Any) -> Any:
    """exp of numbers that are not positive: a polynomial of what a power of two leaves, times that power, in two steps because of what
    is below the normal numbers."""
    x = select(x < LOWEST, LOWEST, x)
    power = fma32(x, PER_LOG2, ROUNDING)
    whole = power - ROUNDING
    for part in LOG2:
        x = fma32(whole, part, x)
    y = polynomial(POLYNOMIAL, x)
    exponent = as_int32(power) - BITS
    half = exponent >> 1
    return y * as_float32((half + 127) << 23) * as_float32((exponent - half + 127) << 23)


def softmax(x: Array, beta: Any) -> Array:
    """Rows (rows, columns) of float32: exponentials of beta x, their sum in sixteen lanes, each times one over it."""
    some = max(PART // x.shape[1], 1)
    return np.concatenate([_softmax(x[i : i + some], beta) for i in range(0, max(len(x), 1), some)])


def _softmax(x: Array, beta: Any) -> Array:
    e = exponential((x - x.max(1, keepdims=True)) * beta)
    lanes = np.pad(e, ((0, 0), (0, -e.shape[1] % LANES))).reshape(len(e), -1, LANES)
    total = np.add.accumulate(lanes, 1)[:, -1]
    total = total[:, : LANES // 2] + total[:, LANES // 2 :]
    while total.shape[1] > 1:
        total = total[:, ::2] + total[:, 1::2]
    return e * (1 / total)
