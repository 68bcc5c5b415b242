"""Floating point: IEEE float64, float32 and float16, and the small formats of ONNX and OCP MX.

float8e4m3fn (no infinity, max 448), float8e4m3fnuz, float8e5m2, float8e5m2fnuz, float8e8m0 (an exponent alone), float6e3m2,
float6e2m3, float4e2m1.  Rounding is to nearest even; what saturation means is the table of ONNX Cast.
"""

from __future__ import annotations

import re

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array, Format

_SPECIALS = {"": "ieee", "fn": "fn", "fnuz": "fnuz"}
_FINITE = {"6e3m2", "6e2m3", "4e2m1"}


def parse(suffix: str) -> Format:
    wide = {"64": (11, 52), "32": (8, 23), "16": (5, 10)}
    if suffix in wide:
        return small_float(f"float{suffix}", *wide[suffix], specials="ieee")
    if suffix == "8e8m0":
        return _exponent_only()
    match = re.fullmatch(r"(\d)e(\d)m(\d)(fnuz|fn)?", suffix)
    if match is None or int(match[1]) != 1 + int(match[2]) + int(match[3]):
        raise HwsimError("format", "float must be followed by 16, 32, 64 or a layout such as 8e4m3fn", repr("float" + suffix))
    specials = "none" if suffix in _FINITE else _SPECIALS[match[4] or ""]
    return small_float(f"float{suffix}", int(match[2]), int(match[3]), specials)


def small_float(name: str, exponent_bits: int, mantissa_bits: int, specials: str) -> Format:
    """A format of sign, exponent and mantissa; `specials` says which codes are not numbers: ieee, fn, fnuz or none."""
    bias = (1 << (exponent_bits - 1)) - (0 if specials == "fnuz" else 1)
    top_mantissa = 2 - 2.0**-mantissa_bits if specials != "fn" else 2 - 2.0 ** (1 - mantissa_bits)
    high = top_mantissa * 2.0 ** ((1 << exponent_bits) - (2 if specials == "ieee" else 1) - bias)
    held = "float64" if mantissa_bits > 23 else "float32"

    def nearest(x: Array, saturate: bool) -> Array:
        x = x.astype(np.float64)
        with np.errstate(all="ignore"):
            exponent = np.maximum(np.frexp(x)[1] - 1, 1 - bias)
            quantum = np.ldexp(1.0, exponent - mantissa_bits)
            r = np.where(np.isinf(x), x, np.rint(x / quantum) * quantum)
        over = np.abs(r) > high
        beyond = np.copysign(high, x) if saturate or specials == "none" else np.copysign(np.inf, x) if specials == "ieee" else np.nan
        r = np.where(over, beyond, r)
        if specials == "none":
            r = np.where(np.isnan(r), 0.0, r)
        return r + 0.0 if specials == "fnuz" else r

    def decode(codes: Array) -> Array:
        bits = codes.astype(np.int64)
        mantissa, exponent = bits & ((1 << mantissa_bits) - 1), bits >> mantissa_bits & ((1 << exponent_bits) - 1)
        sign = np.where(bits >> (mantissa_bits + exponent_bits), -1.0, 1.0)
        fraction = np.where(exponent > 0, 1 << mantissa_bits, 0) + mantissa
        value = sign * np.ldexp(fraction.astype(np.float64), np.maximum(exponent, 1) - bias - mantissa_bits)
        return _mark_specials(value, sign, mantissa, exponent).astype(held)

    def _mark_specials(value: Array, sign: Array, mantissa: Array, exponent: Array) -> Array:
        top = exponent == (1 << exponent_bits) - 1
        if specials == "ieee":
            return np.where(top, np.where(mantissa == 0, sign * np.inf, np.nan), value)
        if specials == "fn":
            return np.where(top & (mantissa == (1 << mantissa_bits) - 1), np.nan, value)
        if specials == "fnuz":
            return np.where((sign < 0) & (mantissa == 0) & (exponent == 0), np.nan, value)
        return value

    def encode(values: Array) -> Array:
        x = values.astype(np.float64)
        finite = np.where(np.isfinite(x), np.abs(x), 0)
        exponent = np.maximum(np.frexp(finite)[1] - 1, 1 - bias)
        fraction = np.rint(np.ldexp(finite, mantissa_bits - exponent)).astype(np.int64)
        code = fraction + ((exponent + bias - 1).astype(np.int64) << mantissa_bits)
        code = np.where(fraction == 0, 0, code)
        top = ((1 << exponent_bits) - 1) << mantissa_bits
        code = np.where(np.isinf(x), top, code)
        code = code | (np.signbit(x).astype(np.int64) << (exponent_bits + mantissa_bits))
        if specials == "fnuz":
            code = np.where(x == 0, 0, code)
        nan = {
            "ieee": top | (1 << mantissa_bits >> 1),
            "fn": top | ((1 << mantissa_bits) - 1),
            "fnuz": 1 << (exponent_bits + mantissa_bits),
        }
        return np.where(np.isnan(x), nan.get(specials, 0), code).astype(np.uint64)

    return Format(name, 1 + exponent_bits + mantissa_bits, -high, high, held, nearest, encode, decode)


def _exponent_only() -> Format:
    """E8M0: 2^(code - 127), code 255 is NaN; rounding up to the next power as ONNX Cast's default `round_mode`."""

    def nearest(x: Array, saturate: bool) -> Array:
        with np.errstate(all="ignore"):
            fraction, exponent = np.frexp(x.astype(np.float64))
            power = np.where(fraction == 0.5, exponent - 1, exponent)
        value = np.ldexp(1.0, np.clip(power, -127, 127))
        bad = np.isnan(x) | (x < 0) if saturate else np.isnan(x) | (x < 0) | (power > 127)
        return np.where(bad, np.nan, np.where(x == 0, 2.0**-127, value))

    def encode(values: Array) -> Array:
        x = values.astype(np.float64)
        return np.where(np.isnan(x), 255, np.frexp(np.where(np.isnan(x), 1, x))[1] - 1 + 127).astype(np.uint64)

    def decode(codes: Array) -> Array:
        c = codes.astype(np.int64)
        return np.where(c == 255, np.nan, np.ldexp(1.0, c - 127)).astype(np.float32)

    return Format("float8e8m0", 8, 2.0**-127, 2.0**127, "float32", nearest, encode, decode)
