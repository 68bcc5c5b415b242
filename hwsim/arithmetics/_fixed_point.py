"""gemmlowp's fixed-point functions (fixedpoint/fixedpoint.h) on arrays of raw numbers, and tables made in real arithmetic.

A raw number of `bits` bits with k integer bits stands for raw / 2^(bits - 1 - k).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp, srdhm
from hwsim.kernels.numbers import i64
from hwsim.quant import Array

__all__ = ["Q16", "Q32", "FixedPoint", "interpolation_table", "one_over_one_plus"]

# exp(-2^j) for j = -2 .. 4, in Q0.31
POWERS = {-2: 1672461947, -1: 1302514674, 0: 790015084, 1: 290630308, 2: 39332535, 3: 720401, 4: 242}


def one_over_one_plus(a: Any) -> Any:
    """1 / (1 + a) for a in [0, 1), Q0.31: three Newton-Raphson steps on 48/17 - 32/17 x (one_over_one_plus_x_for_x_in_0_1)."""
    half = (a + 2147483648) >> 1
    x = 1515870810 + srdhm(half, i64(-1010580540))
    x = x + clamp(srdhm(x, 536870912 - srdhm(half, x)) << 2, -2147483648, 2147483647)
    x = x + clamp(srdhm(x, 536870912 - srdhm(half, x)) << 2, -2147483648, 2147483647)
    x = x + clamp(srdhm(x, 536870912 - srdhm(half, x)) << 2, -2147483648, 2147483647)
    return clamp(x << 1, -2147483648, 2147483647)


@dataclass(frozen=True)
class FixedPoint:
    """The functions for raw numbers of 16 or 32 bits."""

    bits: int

    @property
    def largest(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def constant(self, raw32: int) -> int:
        """A constant of 32 bits in this width."""
        return raw32 if self.bits == 32 else int(rdbp(np.int64(raw32), np.int64(16)))

    def multiply(self, a: Any, b: Any) -> Any:
        """Saturating rounding doubling high product."""
        return np.minimum((a * b + (1 << (self.bits - 2))) >> (self.bits - 1), self.largest)

    def wrap(self, x: Any) -> Any:
        return ((x + (1 << (self.bits - 1))) & ((1 << self.bits) - 1)) - (1 << (self.bits - 1))

    def saturate(self, x: Any) -> Any:
        return np.clip(x, -self.largest - 1, self.largest)

    def scale_pot(self, x: Any, exponent: int) -> Any:
        """x 2^exponent: saturated upward, rounded half away downward."""
        return rdbp(x, np.int64(-exponent)) if exponent <= 0 else self.saturate(x << exponent)

    def exp_interval(self, a: Array) -> Array:
        """exp on [-1/4, 0), Q0: Taylor's series of four terms around -1/8."""
        middle, third = self.constant(1895147668), self.constant(715827883)
        x = self.wrap(a + (1 << (self.bits - 4)))
        x2 = self.multiply(x, x)
        x3, x4 = self.multiply(x2, x), self.multiply(x2, x2)
        tail = self.multiply(self.wrap(self.scale_pot(x4, -2) + x3), third)
        series = self.wrap(x + self.scale_pot(self.wrap(tail + x2), -1))
        total = middle + self.multiply(middle, series)
        return self.saturate(total) if self.bits == 16 else self.wrap(total)

    def exp_negative(self, a: Array, integer_bits: int) -> Array:
        """exp of a <= 0 in Q(integer_bits), as Q0."""
        fraction = self.bits - 1 - integer_bits
        quarter = 1 << (fraction - 2)
        inside = (a & (quarter - 1)) - quarter
        y = self.exp_interval(self.scale_pot(inside, integer_bits))
        rest = self.wrap(inside - a)
        for exponent, factor in POWERS.items():
            if integer_bits > exponent:
                y = np.where(rest & (1 << (fraction + exponent)), self.multiply(y, self.constant(factor)), y)
        if integer_bits > 5:
            y = np.where(a < -(1 << (fraction + 5)), 0, y)
        return np.where(a == 0, self.largest, y)

    def _reciprocal(self, a: Array) -> Array:
        """2 / (1 + a) in Q2 by three Newton-Raphson steps."""
        half = (a + self.largest + 1) >> 1
        x = self.wrap(self.constant(1515870810) + self.multiply(half, self.constant(-1010580540)))
        for _ in range(3):
            rest = self.wrap((1 << (self.bits - 3)) - self.multiply(half, x))
            x = self.wrap(x + self.scale_pot(self.multiply(x, rest), 2))
        return x

    def logistic(self, a: Array, integer_bits: int) -> Array:
        """1 / (1 + exp(-a)), Q(integer_bits) to Q0."""
        positive = self.scale_pot(self._reciprocal(self.exp_negative(-np.abs(a), integer_bits)), 1)
        return np.where(a == 0, self.constant(1 << 30), np.where(a > 0, positive, self.wrap(self.largest - positive)))

    def tanh(self, a: Array, integer_bits: int) -> Array:
        """Q(integer_bits) to Q0, through (1 - e) / (1 + e) of e = exp(-2 |a|)."""
        e = self.exp_negative(-np.abs(a), integer_bits + 1)
        size = self.scale_pot(self.wrap(self._reciprocal(e) - (1 << (self.bits - 3))), 2)
        return np.where(a == 0, 0, np.where(a < 0, self.wrap(-size), size))


Q16, Q32 = FixedPoint(16), FixedPoint(32)


def interpolation_table(f: Callable[[Any], Any], entries: int = 255, last: int = 65535) -> Array:
    """f at 0, 1, ... with each sample lowered by half the error of linear interpolation at the middle of its step."""
    k = np.arange(entries, dtype=np.float64)
    error = (f(k) + f(k + 1)) / 2 - f(k + 0.5)
    return np.append(np.floor(f(k) - error / 2 + 0.5), last).astype(np.int64)
