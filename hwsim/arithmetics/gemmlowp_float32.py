"""gemmlowp's fixed point with the two scales multiplied in float32 first: LiteRT's uint8 convolutions, BATCH_MATMUL and MUL.

GetQuantizedConvolutionMultipler (tensorflow/lite/kernels/kernel_util.cc) takes `input_scale * filter_scale` as floats for uint8.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import quantized_multiplier
from hwsim.arithmetics.gemmlowp import BIAS, MULTIPLIER, PARAMETERS, requantize
from hwsim.quant import Array

__all__ = ["BIAS", "MULTIPLIER", "PARAMETERS", "parameters", "requantize"]


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    product = (np.float32(x_scale) * np.float32(w_scale)).astype(np.float32)
    m, e = quantized_multiplier(np.float64(product) / np.float64(y_scale))
    return np.float64(m), np.float64(e)
