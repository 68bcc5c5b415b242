"""CMSIS-NN (Arm's kernels for microcontrollers, release 6): gemmlowp's double rounding everywhere, tables in its LSTM cells.

It equals LiteRT's reference kernels but in FULLY_CONNECTED, which has a fixed-point multiplier here, and LSTM; its golden vectors
(ARM-software/CMSIS-NN, Tests/UnitTest/TestCases) are the judge.
"""

from __future__ import annotations

import sys
from types import ModuleType

from hwsim.arithmetics import _litert_mean, _litert_shifts, gemmlowp, gemmlowp_int64
from hwsim.arithmetics._cmsis_lstm import lstm
from hwsim.arithmetics._litert_activations import QUANTIZE, REQUANTIZE, STORED
from hwsim.arithmetics._litert_pairs import BINARY
from hwsim.arithmetics._litert_resize import resize
from hwsim.arithmetics._litert_softmax import softmax
from hwsim.arithmetics._litert_svdf import svdf
from hwsim.arithmetics.gemmlowp import BIAS, MULTIPLIER, PARAMETERS, RESCALE, mean_parameters, parameters, requantize
from hwsim.arithmetics.litert_ref import PRODUCTS, accumulator_bits
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


def variant(step: Step) -> ModuleType:
    """Products by 32-bit multipliers, behind 64-bit sums by 16-bit ones; pools divide integers; powers of two shift."""
    if step.op == "average_pool":
        return _litert_mean
    if step.op == "binary" and step.node.attrs.get("pot_scale"):
        return _litert_shifts
    if step.op not in PRODUCTS:
        return sys.modules[__name__]
    return gemmlowp_int64 if accumulator_bits(step) == 64 else gemmlowp
