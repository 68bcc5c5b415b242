"""A right shift with 2^(s-1) added first: ties up (TVM relay.quantize round_for_shift UPWARD; Vitis AI DPU method 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import clamp
from hwsim.arithmetics._shift import BIAS, MULTIPLIER, POWER_OF_TWO, parameters
from hwsim.kernels.compiling import scalar

__all__ = ["BIAS", "MULTIPLIER", "POWER_OF_TWO", "parameters", "requantize"]


@scalar
def requantize(acc: Any, p: Any, zero_point: Any, low: Any, high: Any) -> Any:
    right, left = np.int64(np.maximum(p[0], 0)), np.int64(np.maximum(-p[0], 0))
    return clamp((((acc << left) + ((np.int64(1) << right) >> 1)) >> right) + zero_point, low, high)
