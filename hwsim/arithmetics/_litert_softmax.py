"""LiteRT's reference SOFTMAX of stored numbers (reference_ops::Softmax for 8 bits, SoftmaxInt16 for 16).

Both look up the exponential of (number - row maximum), add, and multiply by a reciprocal of the sum.
"""

from __future__ import annotations

from functools import cache
from math import floor
from typing import Any

import numpy as np

from hwsim.arithmetics._fixed_point import Q32, one_over_one_plus
from hwsim.arithmetics._litert_pairs import multiplier
from hwsim.arithmetics._rounding import bit_length, rdbp, round_away, srdhm, wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.kernels.numbers import in_int32, rounded_high_product
from hwsim.quant import Array, QuantParams

__all__ = ["softmax"]

f32, f64 = np.float32, np.float64
Parts = tuple[Array, Any, Array, Any]


def softmax(x: QuantParams, y: QuantParams, beta: float) -> Parts:
    """Exponentials (int32) by (row maximum - number); what the sum takes of one; a table of reciprocals; and the way out.

    The way out is `f(exponential, sum, reciprocals, low)`, with `low` the lowest stored number of the output.
    """
    return _wide(x, beta) if x.bits > 8 else _narrow(x, y, beta)


def _narrow(x: QuantParams, y: QuantParams, beta: float) -> Parts:
    m, e = (int(v) for v in multiplier(min(f64(f32(beta)) * f64(x.scale) * (1 << 26), 2.0**31 - 1)))
    least = -floor(31.0 * (1 << 26) / (1 << e))
    d = -np.arange(1 << x.bits, dtype=np.int64)
    kept = d >= least
    table = np.where(kept, Q32.exp_negative(srdhm(wrap32(np.where(kept, d, 0) << e), m), 5), 0)
    return table, _twelve_bits_less, np.zeros(1, np.int64), _out16 if y.bits > 8 else _out8


def _twelve_bits_less(e: Any) -> Any:
    return rdbp(e, 12)


def _as_it_is(e: Any) -> Any:
    return e


def _shifted(e: Any, total: Any, bits: Any) -> Any:
    """The exponential times 1 / sum (Q12.19), as a number of so many bits."""
    total = wrap32(total)
    length = bit_length(total)
    reciprocal = one_over_one_plus((total << (32 - length)) - 2147483648)
    shift = length + 11 - bits
    return rdbp(rounded_high_product(e, in_int32(reciprocal)), in_int32(np.minimum(shift, 31))) * (shift < 32)


def _out8(e: Any, total: Any, reciprocals: Any, low: Any) -> Any:
    return _shifted(e, total, 8) + low


def _out16(e: Any, total: Any, reciprocals: Any, low: Any) -> Any:
    return _shifted(e, total, 16) + low


def _wide(x: QuantParams, beta: float) -> Parts:
    exponential, reciprocals = _wide_tables()
    d = scaled(-np.arange(1 << 16, dtype=np.int64), multiplier(f64(f32(f32(x.scale) * f32(beta))) / (10.0 / 65535.0)))
    e = _looked_up(np.clip(d + 32767, -32768, 32767), exponential)
    return e, _as_it_is, reciprocals, _out_wide


@cache
def _wide_tables() -> tuple[Array, Array]:
    return _table513(np.exp, 10.0 / 65535, 32767), _table513(lambda t: 1.0 / (1.0 + t), 1.0 / 65535, -32768)


def _table513(f: Any, scale: float, zero_point: int) -> Array:
    """512 steps over the input range, each sample corrected by half the error of linear interpolation (LUTPopulate)."""
    first, last = scale * (-32768 - zero_point), scale * (32767 - zero_point)
    step, factor = (last - first) / 512, 65536 / (2.0 / 65535 * 65535)
    at = first + np.arange(513) * step
    value, middle = f(at) * factor, f(at[:-1] + step / 2) * factor
    sample = round_away(value)
    bias = round_away((round_away((value[1:] + sample[:-1]) / 2) - round_away(middle)) / 2)
    return np.clip(np.append(sample[:-1] - bias, round_away(f(np.asarray(last)) * factor)), -32768, 32767).astype(np.int64)


def _looked_up(v: Any, table: Any) -> Any:
    """Linear interpolation in a table of 513 (LUTLookup)."""
    i = 256 + (v >> 7)
    return table[i] + (((table[i + 1] - table[i]) * (v & 127) + 64) >> 7)


def _out_wide(e: Any, total: Any, reciprocals: Any, low: Any) -> Any:
    length = bit_length(total)
    u = ((total << (31 - length)) + 8192) >> 14
    r = _looked_up(np.minimum(np.maximum(u - 98304, -32768), 32767), reciprocals)
    shift = length - 1
    return np.maximum((e * r + (np.int64(1) << (shift - 1))) >> shift, 0)
