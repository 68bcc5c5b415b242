"""NVDLA's SDP converter: (acc * 16-bit scale) >> shift, ties away from zero, saturated (hw/cmod/hls/sdp, CVT)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp, rdbp
from hwsim.kernels.compiling import scalar
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = "int16"


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    """The largest scale below 2^15 and its shift."""
    mantissa, exponent = np.frexp(np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale))
    return np.minimum(np.rint(mantissa * 2.0**15), 32767.0), np.float64(15 - exponent)


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.int64(np.maximum(p[1], 0)), np.int64(np.maximum(-p[1], 0))
    return clamp(rdbp((acc * np.int64(p[0])) << left, right) + zero_point, low, high)
