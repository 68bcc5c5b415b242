"""XNNPACK's 8-bit operators, as LiteRT's default delegate runs them on x86-64 (ai-edge-litert 2.3, OpResolverType.BUILTIN).

Products are requantized in float32 as ONNX Runtime does it (scale f32(f32(x_scale w_scale) / y_scale), ties to even,
xnn_qs8_requantize_fp32); sums and rescaling use integer multipliers.  int16 tensors run in LiteRT's reference kernels.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from hwsim.arithmetics import litert_ref
from hwsim.arithmetics._litert_activations import QUANTIZE
from hwsim.arithmetics._litert_activations import STORED as REFERENCE
from hwsim.arithmetics._litert_pairs import BINARY as REFERENCE_PAIRS
from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics.fbgemm import FAR
from hwsim.arithmetics.litert_ref import accumulator_bits, lstm, mean_parameters, resize, softmax
from hwsim.arithmetics.onnxruntime import BIAS, MULTIPLIER, PARAMETERS, parameters, requantize
from hwsim.kernels.numbers import f32, i32, i64
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = [
    "BIAS",
    "BINARY",
    "MULTIPLIER",
    "PARAMETERS",
    "QUANTIZE",
    "STORED",
    "accumulator_bits",
    "lstm",
    "mean_parameters",
    "parameters",
    "requantize",
    "resize",
    "softmax",
    "variant",
]


def variant(step: Step) -> ModuleType:
    """Wide tensors and pools are left to LiteRT's own kernels."""
    x = step.inputs[0]
    wide = x is not None and x.quant is not None and x.quant.bits > 8
    return litert_ref.variant(step) if wide or step.op == "average_pool" else sys.modules[__name__]


def _sum_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """Both ratios as whole numbers with one shift, so that the larger has 21 bits (xnn_init_qs8_add_minmax_scalar_params)."""
    ra, rb = f32(f32(a.scale) / f32(y.scale)), f32(f32(b.scale) / f32(y.scale))
    shift = 20 - (int(np.frexp(max(ra, rb))[1]) - 1)
    ma, mb = (float(np.rint(f32(np.ldexp(r, shift)))) for r in (ra, rb))
    return ma, mb, float(shift), float(a.zero_point), float(b.zero_point), float(y.zero_point)


def add(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    shift = i64(p[2])
    total = (a - i64(p[3])) * i64(p[0]) + (b - i64(p[4])) * i64(p[1])
    return clamp(((total + (np.int64(1) << (shift - 1))) >> shift) + i64(p[5]), low, high)


def sub(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    shift = i64(p[2])
    total = (a - i64(p[3])) * i64(p[0]) - (b - i64(p[4])) * i64(p[1])
    return clamp(((total + (np.int64(1) << (shift - 1))) >> shift) + i64(p[5]), low, high)


def _mul_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    ratio = f32(f32(f32(a.scale) * f32(b.scale)) / f32(y.scale))
    return float(ratio), float(a.zero_point), float(b.zero_point), float(y.zero_point)


def mul(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    product = f32((i32(a) - i32(p[1])) * (i32(b) - i32(p[2])))
    return clamp(i32(clamp(np.rint(product * f32(p[0])), f32(-FAR), f32(FAR))) + i32(p[3]), low, high)


def _eighths(v: Array, ratio: Any) -> Array:
    """A product with a multiplier of eight fractional bits, ties up."""
    return (v * int(np.rint(f32(256) * f32(ratio))) + 128) >> 8


def _requantize(q: Array, x: QuantParams, y: QuantParams, params: Any) -> Array:
    """qs8-vcvt, qu8-vcvt: between grids of one format; others run in LiteRT's own kernel."""
    if x.format.name != y.format.name:
        return REFERENCE["requantize"](q, x, y, params)
    return _eighths(q - x.zero_point, f32(x.scale) / f32(y.scale)) + y.zero_point


def _leaky_relu(q: Array, x: QuantParams, y: QuantParams, params: Any) -> Array:
    """qs8-vlrelu, qu8-vlrelu: a second multiplier for negative numbers."""
    v, ratio = q - x.zero_point, f32(f32(x.scale) / f32(y.scale))
    return np.where(v >= 0, _eighths(v, ratio), _eighths(v, f32(ratio * f32(params["alpha"])))) + y.zero_point


BINARY = {**REFERENCE_PAIRS, "add": (_sum_parameters, add), "sub": (_sum_parameters, sub), "mul": (_mul_parameters, mul)}
STORED = {**REFERENCE, "requantize": _requantize, "leaky_relu": _leaky_relu}
