"""Softmax of float32 rows, and its logarithm, in the order of ONNX Runtime 1.32 on x86-64 with AVX-512 (MlasComputeSumExpF32Kernel and
what follows it).  The logarithm is that of the GNU C library, which it calls.

Proven equal by value.  `exponential` is one definition for arrays and for the lanes of a kernel; `kernels.softmax` has the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._mlas_activations import LOG2, PER_LOG2, ROUNDING, polynomial
from hwsim.arithmetics._rounding import fma32
from hwsim.kernels.numbers import as_float32, as_int32, f64, i64, select
from hwsim.quant import Array

__all__ = ["INVERSES", "LOGARITHMS", "exponential", "logarithm", "softmax"]

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


# glibc's logf (sysdeps/ieee754/flt-32/e_logf_data.c, by S. Nagy): 1 / c and log(c) of a number c near the middle of each sixteenth
INVERSES, LOGARITHMS = np.array(
    [
        [float.fromhex(n) for n in pair.split()]
        for pair in (
            "0x1.661ec79f8f3bep+0 -0x1.57bf7808caadep-2",
            "0x1.571ed4aaf883dp+0 -0x1.2bef0a7c06ddbp-2",
            "0x1.49539f0f010bp+0 -0x1.01eae7f513a67p-2",
            "0x1.3c995b0b80385p+0 -0x1.b31d8a68224e9p-3",
            "0x1.30d190c8864a5p+0 -0x1.6574f0ac07758p-3",
            "0x1.25e227b0b8eap+0 -0x1.1aa2bc79c81p-3",
            "0x1.1bb4a4a1a343fp+0 -0x1.a4e76ce8c0e5ep-4",
            "0x1.12358f08ae5bap+0 -0x1.1973c5a611cccp-4",
            "0x1.0953f419900a7p+0 -0x1.252f438e10c1ep-5",
            "0x1p+0 0x0p+0",
            "0x1.e608cfd9a47acp-1 0x1.aa5aa5df25984p-5",
            "0x1.ca4b31f026aap-1 0x1.c5e53aa362eb4p-4",
            "0x1.b2036576afce6p-1 0x1.526e57720db08p-3",
            "0x1.9c2d163a1aa2dp-1 0x1.bc2860d22477p-3",
            "0x1.886e6037841edp-1 0x1.1058bc8a07ee1p-2",
            "0x1.767dcf5534862p-1 0x1.4043057b6ee09p-2",
        )
    ]
).T
LOG_2, LOG_OFFSET = float.fromhex("0x1.62e42fefa39efp-1"), 0x3F330000
LOG_POLYNOMIAL = tuple(float.fromhex(c) for c in ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2", "-0x1.ffffef20a4123p-2"))


def logarithm(x: Any, inverses: Any, logarithms: Any) -> Any:
    """log of positive normal float32 numbers in float64, to be rounded; the tables are INVERSES and LOGARITHMS."""
    bits = as_int32(x) - LOG_OFFSET
    power, place = bits >> 23, i64((bits >> 19) & 15)
    r = f64(as_float32(as_int32(x) - (power << 23))) * inverses[place] - 1
    a, b, c = LOG_POLYNOMIAL
    square = r * r
    return (a * square + (b * r + c)) * square + ((logarithms[place] + f64(power) * LOG_2) + r)


def softmax(x: Array, beta: Any, log: bool = False) -> Array:
    """Rows (rows, columns) of float32: exponentials of beta x, their sum in sixteen lanes, each times one over it; or the logarithm."""
    some = max(PART // x.shape[1], 1)
    return np.concatenate([_softmax(x[i : i + some], beta, log) for i in range(0, max(len(x), 1), some)])


def _softmax(x: Array, beta: Any, log: bool) -> Array:
    shifted = (x - x.max(1, keepdims=True)) * beta
    e = exponential(shifted)
    lanes = np.pad(e, ((0, 0), (0, -e.shape[1] % LANES))).reshape(len(e), -1, LANES)
    total = np.add.accumulate(lanes, 1)[:, -1]
    total = total[:, : LANES // 2] + total[:, LANES // 2 :]
    while total.shape[1] > 1:
        total = total[:, ::2] + total[:, 1::2]
    return shifted - np.float32(logarithm(total, INVERSES, LOGARITHMS)) if log else e * (1 / total)
