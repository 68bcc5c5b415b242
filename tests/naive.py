"""Slow, obvious meaning in Python integers and fractions; imports nothing from hwsim."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

HALF = Fraction(1, 2)


def half_up(v: Fraction) -> int:
    return math.floor(v + HALF)


def half_even(v: Fraction) -> int:
    low = math.floor(v)
    rest = v - low
    return low + (rest > HALF or (rest == HALF and low % 2 == 1))


def half_away(v: Fraction) -> int:
    return half_up(v) if v >= 0 else -half_up(-v)


def truncate(v: Fraction) -> int:
    return int(v)


def clamp(v: int, low: int, high: int) -> int:
    return max(low, min(high, v))


def wrap(v: int, bits: int) -> int:
    return (v + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def saturate(v: int, bits: int) -> int:
    return clamp(v, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def to_float32(v: Fraction) -> Fraction:
    """The nearest float32, ties to even (finite results)."""
    return _to_float(v, 24, -126)


def to_float16(v: Fraction) -> Fraction:
    """The nearest float16, ties to even (finite results)."""
    return _to_float(v, 11, -14)


def _to_float(v: Fraction, digits: int, least: int) -> Fraction:
    if v == 0:
        return Fraction(0)
    exponent = max(_exponent(abs(v)), least)
    quantum = Fraction(2) ** (exponent - digits + 1)
    return half_even(v / quantum) * quantum


def _exponent(v: Fraction) -> int:
    """floor(log2 v)."""
    e = v.numerator.bit_length() - v.denominator.bit_length()
    return e if Fraction(2) ** e <= v else e - 1


def float32(v: float) -> Fraction:
    return Fraction(struct.unpack("f", struct.pack("f", v))[0])


# Requantization: accumulator -> stored output, as the libraries define it in words.


def tflite_multiplier(real: Fraction) -> tuple[int, int]:
    """m and e with real ~ m 2^(e - 31), m in [2^30, 2^31)."""
    e = _exponent(real) + 1
    m = half_away(real / Fraction(2) ** e * 2**31)
    return (m // 2, e + 1) if m == 2**31 else (m, e)


def srdhm(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul in gemmlowp's own words: nudge by sign, divide toward zero."""
    if a == b == -(2**31):
        return 2**31 - 1
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    return truncate(Fraction(product + nudge, 2**31))


def gemmlowp(acc: int, real: Fraction) -> int:
    m, e = tflite_multiplier(real)
    return half_away(Fraction(srdhm(wrap(acc << max(e, 0), 32), m), 2 ** max(-e, 0)))


def single_rounding(acc: int, real: Fraction) -> int:
    m, e = tflite_multiplier(real)
    return half_up(Fraction(acc * m) * Fraction(2) ** (e - 31))


def reduced_multiplier(acc: int, real: Fraction) -> int:
    m, e = tflite_multiplier(real)
    short = 0x7FFF if m >= 0x7FFF0000 else (m + 0x8000) >> 16
    return wrap(half_up(Fraction(acc * short) * Fraction(2) ** (e - 15)), 32)


def float_scale(rounding: Callable[[Fraction], int], acc: int, real: Fraction) -> int:
    """float32(acc) times a float32 scale, rounded to float32, then to an integer."""
    return rounding(to_float32(to_float32(Fraction(acc)) * real))


def shift(rounding: Callable[[Fraction], int], acc: int, real: Fraction) -> int:
    return rounding(acc * real)


def half_even_positive(v: Fraction) -> int:
    """Vitis method 5: ties up when negative, to even when positive."""
    return half_up(v) if v < 0 else half_even(v)


# Accumulation


def accumulate(x: Sequence[int], w: Sequence[int], start: int, bits: int, overflow: str, every: str, tile: int) -> tuple[int, bool]:
    """Sum of products in order, cut after every step; the sum and whether any cut changed it."""
    cut = wrap if overflow == "wrap" else saturate
    total = cut(start, bits)
    changed = total != start
    size = {"mac": 1, "pair": 2, "tile": tile}[every]
    for k in range(0, len(x), size):
        part = sum(a * b for a, b in zip(x[k : k + size], w[k : k + size], strict=True))
        if every == "pair":
            held = saturate(part, 16)
            changed, part = changed or held != part, held
        new = cut(total + part, bits)
        changed, total = changed or new != total + part, new
    return total, changed
