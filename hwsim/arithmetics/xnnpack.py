"""XNNPACK's 8-bit operators, as LiteRT's default delegate runs them on x86-64 (ai-edge-litert 2.3, OpResolverType.BUILTIN).

Products and means are requantized in float32 as ONNX Runtime does it (scale f32(f32(x_scale w_scale) / y_scale), ties to even,
xnn_qs8_requantize_fp32); sums and rescaling use integer multipliers.  What XNNPACK does not take (int16, uint8 depthwise, int4 weights,
kernels smaller than the stride of a transposed convolution, matrices with a zero point) runs in LiteRT's own kernels.  Not equal in
every number: int4 depthwise convolutions, such uint8 transposed convolutions, and QUANTIZE between int8 and uint8, which run in
optimized kernels whose vector bodies and tails round differently.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from hwsim.arithmetics import gemmlowp_half_up, litert_ref
from hwsim.arithmetics._litert_activations import QUANTIZE
from hwsim.arithmetics._litert_activations import STORED as REFERENCE
from hwsim.arithmetics._litert_pairs import BINARY as REFERENCE_PAIRS
from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._xnnpack_resize import resize
from hwsim.arithmetics.fbgemm import FAR
from hwsim.arithmetics.litert_ref import accumulator_bits, lstm, softmax, svdf
from hwsim.arithmetics.onnxruntime import BIAS, MULTIPLIER, PARAMETERS, RESCALE, average_scale, parameters, requantize
from hwsim.graph import Tensor
from hwsim.kernels.numbers import f32, i32
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = [
    "BIAS",
    "BINARY",
    "MULTIPLIER",
    "PARAMETERS",
    "QUANTIZE",
    "RESCALE",
    "STORED",
    "accumulator_bits",
    "average_scale",
    "lstm",
    "parameters",
    "requantize",
    "resize",
    "softmax",
    "svdf",
    "variant",
]


LEAST_RATIO = 2.0**-8  # below it a multiplier of eight fractional bits vanishes, and XNNPACK refuses


def variant(step: Step) -> ModuleType:
    """XNNPACK's own arithmetic, or that of the kernel of LiteRT which runs in its place."""
    x, w = step.inputs[0], step.inputs[1] if len(step.inputs) > 1 else None
    if x is None or (x.quant is not None and x.quant.bits > 8) or step.op == "average_pool":
        return litert_ref.variant(step)
    if step.op not in litert_ref.PRODUCTS or w is None or w.quant is None:
        return sys.modules[__name__]
    if w.format == "int4" and step.op != "conv_transpose" and step.node.attrs.get("group", 1) == 1 and not _taken(step, x, w):
        return gemmlowp_half_up
    return sys.modules[__name__] if _taken(step, x, w) else litert_ref.variant(step)


def _taken(step: Step, x: Tensor, w: Tensor) -> bool:
    """Whether XNNPACK takes a product."""
    attrs = step.node.attrs
    if step.op == "matmul":
        if w.constant is None:
            return not (w.quant is not None and w.quant.has_zero_point)
        return w.format != "int4" or x.shape[-1] % 2 == 0
    if step.op == "conv":
        return w.format != "int4" and not (x.format == "uint8" and attrs["group"] > 1 and w.shape[1] == 1)
    full = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], attrs.get("up", attrs["strides"]), w.shape[2:], strict=True)]
    return all(f >= size + cut for f, size, cut in zip(full, attrs["size"], attrs["crop"], strict=True))


def _sum_parameters(a: QuantParams, b: QuantParams, y: QuantParams) -> tuple[float, ...]:
    """Both ratios as whole numbers with one shift, so that the larger has 21 bits (xnn_init_qs8_add_minmax_scalar_params)."""
    ra, rb = f32(f32(a.scale) / f32(y.scale)), f32(f32(b.scale) / f32(y.scale))
    shift = 20 - (int(np.frexp(max(ra, rb))[1]) - 1)
    ma, mb = (float(np.rint(f32(np.ldexp(r, shift)))) for r in (ra, rb))
    return ma, mb, float(shift), float(a.zero_point), float(b.zero_point), float(y.zero_point)


def _sum_out(total: Any, p: Any, low: Any, high: Any) -> Any:
    """Sums of 31 bits: shifts of 31 and more leave nothing."""
    shift = i32(np.minimum(p[2], 31))
    return clamp(((total + ((shift * 0 + 1) << (shift - 1))) >> shift) + i32(p[5]), low, high)


def add(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return _sum_out((a - i32(p[3])) * i32(p[0]) + (b - i32(p[4])) * i32(p[1]), p, low, high)


def sub(a: Any, b: Any, p: Any, low: Any, high: Any) -> Any:
    return _sum_out((a - i32(p[3])) * i32(p[0]) - (b - i32(p[4])) * i32(p[1]), p, low, high)


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
    ratio = f32(f32(x.scale) / f32(y.scale))
    if x.format.name != y.format.name:
        p = gemmlowp_half_up.parameters(x.scale, np.ones((), np.float32), y.scale)
        return np.asarray(gemmlowp_half_up.requantize(q - x.zero_point, p, int(y.zero_point), int(y.qmin), int(y.qmax)))
    if x.format.name != y.format.name or not LEAST_RATIO <= ratio <= 128:
        return REFERENCE["requantize"](q, x, y, params)
    return _eighths(q - x.zero_point, ratio) + y.zero_point


def _leaky_relu(q: Array, x: QuantParams, y: QuantParams, params: Any) -> Array:
    """qs8-vlrelu, qu8-vlrelu: a second multiplier for negative numbers."""
    v, ratio = q - x.zero_point, f32(f32(x.scale) / f32(y.scale))
    below = f32(ratio * f32(params["alpha"]))
    if not (LEAST_RATIO <= ratio <= 128 and abs(below) >= LEAST_RATIO and -127.99609375 <= below <= 128):
        return REFERENCE["leaky_relu"](q, x, y, params)
    return np.where(v >= 0, _eighths(v, ratio), _eighths(v, below)) + y.zero_point


BINARY = {**REFERENCE_PAIRS, "add": (_sum_parameters, add), "sub": (_sum_parameters, sub), "mul": (_mul_parameters, mul)}
STORED = {**REFERENCE, "requantize": _requantize, "leaky_relu": _leaky_relu}
