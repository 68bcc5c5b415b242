"""LiteRT's reference kernels (OpResolverType.BUILTIN_REF, ai-edge-litert 2.3) on uint8, int8 and int16 tensors.

Each operator has its own rounding: `variant` says which arithmetic it follows, and the operators with formulas of their own are in the
files that this one gathers.  Sources: tensorflow/lite/kernels/internal/reference/, and the published gemmlowp fixed point.
"""

from __future__ import annotations

import sys
from types import ModuleType

from hwsim.arithmetics import _litert_mean, _litert_shifts, float64_half_away, gemmlowp, gemmlowp_float32, gemmlowp_int64
from hwsim.arithmetics._litert_activations import QUANTIZE, REQUANTIZE, STORED
from hwsim.arithmetics._litert_lstm import lstm
from hwsim.arithmetics._litert_pairs import BINARY
from hwsim.arithmetics._litert_resize import resize
from hwsim.arithmetics._litert_softmax import softmax
from hwsim.arithmetics._litert_svdf import svdf
from hwsim.arithmetics.gemmlowp import BIAS, MULTIPLIER, PARAMETERS, RESCALE, mean_parameters, parameters, requantize
from hwsim.program import Step

__all__ = [
    "BIAS",
    "BINARY",
    "MULTIPLIER",
    "PARAMETERS",
    "QUANTIZE",
    "REQUANTIZE",
    "RESCALE",
    "STORED",
    "accumulator_bits",
    "lstm",
    "mean_parameters",
    "parameters",
    "requantize",
    "resize",
    "softmax",
    "svdf",
    "variant",
]

PRODUCTS = ("conv", "conv_transpose", "matmul")


def accumulator_bits(step: Step) -> int:
    """64 for 16-bit activations, unless an int32 bias says that the sum is an int32 too."""
    formats = [t.format if t is not None else "" for t in step.inputs]
    return 64 if step.op in PRODUCTS and formats[0] in ("int16", "uint16") and formats[2:3] != ["int32"] else 32


def variant(step: Step) -> ModuleType:
    """Convolutions: double rounding, with the scales' product in float32 for uint8 and a 16-bit multiplier behind 64-bit sums.

    FULLY_CONNECTED rounds once in double; pools divide integers; 16-bit sums with scales that are powers of two shift.
    """
    x = step.inputs[0]
    if step.op == "average_pool":
        return _litert_mean
    if step.op == "binary" and step.node.attrs.get("pot_scale"):
        return _litert_shifts
    if x is None or step.op not in PRODUCTS:
        return sys.modules[__name__]
    w = step.inputs[1]
    if step.op == "matmul" and w is not None and w.constant is not None:
        return float64_half_away
    if accumulator_bits(step) == 64:
        return gemmlowp_int64
    return gemmlowp_float32 if x.format == "uint8" or step.op == "matmul" else gemmlowp
