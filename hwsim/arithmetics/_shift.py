"""What the power-of-two arithmetics share: the scale ratio must be a power of two, and requantization is a shift."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import exact_power_of_two
from hwsim.errors import HwsimError
from hwsim.quant import Array

BIAS = "int32"
MULTIPLIER = ""
PARAMETERS = ("i32",)
POWER_OF_TWO = True


def parameters(x_scale: Array, w_scale: Array, y_scale: Array, bias: Array | None = None) -> tuple[Any, ...]:
    """The right shift per channel (negative: left).  Raises HwsimError when a scale ratio is not a power of two."""
    real = np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale)
    if not exact_power_of_two(real):
        raise HwsimError(
            "requantization by shift",
            "x_scale w_scale / y_scale must be a power of two",
            f"{np.ravel(real)[0]:.6g}",
            "quantize with power_of_two scales for this chip",
        )
    return (np.float64(1 - np.frexp(real)[1]),)
