"""Integer and floating-point pieces of the arithmetics.  All work on NumPy arrays and on the lanes of a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.numbers import as_float32, as_int32, as_int64, f32, f64, i32, i64, select

__all__ = [
    "bit_length",
    "clamp",
    "exact_power_of_two",
    "fma32",
    "half",
    "left32",
    "quantized_multiplier",
    "rdbp",
    "round_away",
    "srdhm",
    "to_int32",
    "wrap32",
]


def clamp(x: Any, low: Any, high: Any) -> Any:
    """x limited to [low, high]."""
    return np.minimum(np.maximum(x, low), high)


def wrap32(x: Any) -> Any:
    """Two's complement wrap of an int64 to 32 bits."""
    return i32(x) if hasattr(x, "lanes") else ((x + 2147483648) & 4294967295) - 2147483648


def left32(x: Any, n: Any) -> Any:
    """x << n modulo 2^32, of int32 values and 0 <= n < 32."""
    return i32(x) << n if hasattr(x, "lanes") else wrap32(i64(x) << n)


def srdhm(a: Any, b: Any) -> Any:
    """gemmlowp SaturatingRoundingDoublingHighMul of int32 values: (a b + 2^30) >> 31, ties up; -2^31 squared saturates."""
    return np.minimum((i64(a) * i64(b) + 1073741824) >> 31, 2147483647)


def rdbp(x: Any, n: Any) -> Any:
    """gemmlowp RoundingDivideByPOT: x / 2^n, ties away from zero."""
    mask = ((x * 0 + 1) << n) - 1
    return (x >> n) + ((x & mask) > (mask >> 1) + (x < 0))


def round_away(x: Any) -> Any:
    """C round(): the nearest whole number, ties away from zero; keeps the float type."""
    whole = np.trunc(x)
    return whole + select(np.abs(x - whole) >= 0.5, np.copysign(whole * 0 + 1, x), whole * 0)


def to_int32(x: Any) -> Any:
    """float64 to int32 as x86-64 converts it (cvttsd2si): out of range, infinite and NaN become -2^31."""
    fits = (x > -2147483649.0) & (x < 2147483648.0)
    return i64(select(fits, x, np.float64(-2147483648.0)))


def bit_length(x: Any) -> Any:
    """Bits of a positive integer below 2^53: the exponent of its float64."""
    return (as_int64(f64(x)) >> 52) - 1022


def half(x: Any) -> Any:
    """A float32 rounded to IEEE float16 (nearest even; subnormals kept; 65520 and more become infinite), held as float32."""
    x = f32(x)
    bits = as_int32(x)
    near = as_float32((bits + 4095 + ((bits >> 13) & 1)) & -8192)
    small = np.rint(x * np.float32(16777216)) * np.float32(2.0**-24)
    near = select(np.abs(x) < np.float32(2.0**-14), small, near)
    return select(np.abs(x) >= np.float32(65520), np.copysign(np.float32(np.inf), x), near)


def fma32(a: Any, b: Any, c: Any) -> Any:
    """float32 fused multiply-add (one rounding) of float32 values.

    The product is exact in float64.  The sum is rounded there, and once more to float32: which only matters where the first rounding
    may have made a tie, or where float32 has fewer bits.
    """
    like = next((v for v in (a, b, c) if hasattr(v, "lanes")), None)
    if like is not None:
        first, *others = (v if hasattr(v, "lanes") else like.constant(v) for v in (a, b, c))
        return first.call("fma", *others)
    p, wide = np.multiply(a, b, dtype=np.float64), np.float64(c)
    s = np.asarray(p + wide)
    y = s.astype(np.float32)
    twice = ((s.view(np.int64) & 536870911) == 268435456) | ((np.abs(y) < np.float32(2.0**-126)) & (s != 0))
    if twice.any():
        y[twice] = _rounded_once(*(np.broadcast_to(v, s.shape)[twice] for v in (p, wide)))
    return y[()]


def _rounded_once(p: Any, c: Any) -> Any:
    """p + c of float64 in float32: the sum is rounded to odd, which makes the second rounding harmless (Boldo and Melquiond, IEEE TC
    2008, theorem 3)."""
    s = p + c
    back = s - p
    error = (p - (s - back)) + (c - back)
    inexact_even = (error != 0) & ((s.view(np.int64) & 1) == 0)
    return np.float32(np.where(inexact_even, np.nextafter(s, np.copysign(np.inf, error)), s))


def quantized_multiplier(real: Any) -> tuple[Any, Any]:
    """TensorFlow Lite QuantizeMultiplier: real ~ m 2^(e - 31), m in [2^30, 2^31) rounded half away, arrays of int64."""
    q, e = np.frexp(np.asarray(real, np.float64))
    m = np.floor(q * 2.0**31 + 0.5).astype(np.int64)
    over = m == 2**31
    m, e = np.where(over, m // 2, m), e.astype(np.int64) + over
    tiny = (e < -31) | (m == 0)
    return np.where(tiny, 0, m), np.where(tiny, 0, e)


def exact_power_of_two(real: Any) -> bool:
    """Whether every number is a power of two."""
    return bool(np.all(np.frexp(np.asarray(real, np.float64))[0] == 0.5))
