"""Activations of float32 numbers as ONNX Runtime 1.32 computes them on x86-64 with AVX2 and FMA, on arrays and on the lanes of a kernel.

Proven equal by value: MlasComputeLogistic, MlasComputeTanh, MlasComputeErf, and Gelu of the latter.  What is not a number stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwsim.arithmetics._rounding import fma32
from hwsim.kernels.numbers import as_float32, between, i32, select

__all__ = ["FUNCTIONS", "LOG2", "PER_LOG2", "ROUNDING", "erf", "gelu", "polynomial", "sigmoid", "tanh"]

f32 = np.float32
NUMERATOR = (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03, 2.48287947061529e-01)
DENOMINATOR = (
    *(6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06),
    *(1.70198817374094e-03, 1.16817656904453e-01, 9.93151921023180e-01),
)
TANH_NUMERATOR = (
    *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08),
    *(1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
)
TANH_DENOMINATOR = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
SMALL = (-5.99104969e-4, 4.99339588e-3, -2.67667342e-2, 1.12818025e-1, -3.76124859e-1, 1.28379151e-1)
BIG = (1.72948930e-5, -3.83208680e-4, 3.88393435e-3, -2.42545605e-2, 1.06777847e-1, 6.34846687e-1, 1.28717512e-1)
EXPONENTIAL = (1.38319808e-3, 8.37550033e-3, 4.16689515e-2, 1.66664466e-1, 4.99999851e-1, 1.0, 1.0)
SPLIT, LARGEST = f32(0.921875), f32(3.925)
ROUNDING, PER_LOG2, LOG2 = f32(12582912), f32(1.44269504088896341), (f32(-6.93145752e-1), f32(-1.42860677e-6))


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Horner's scheme in fused operations, from the highest power on."""
    value = x * 0 + f32(coefficients[0])
    for c in coefficients[1:]:
        value = fma32(value, x, f32(c))
    return value


def sigmoid(x: Any) -> Any:
    """The rational approximation v A(v^2) / B(v^2) + 1/2."""
    v = between(x, f32(-18), f32(18))
    square = v * v
    return between(polynomial(NUMERATOR, square) * v / polynomial(DENOMINATOR, square) + f32(0.5), f32(0), f32(1))


def tanh(x: Any) -> Any:
    """The rational approximation v A(v^2) / B(v^2)."""
    v = between(x, f32(-9), f32(9))
    square = v * v
    return polynomial(TANH_NUMERATOR, square) * v / polynomial(TANH_DENOMINATOR, square)


def erf(x: Any) -> Any:
    """A polynomial of small numbers, one minus an exponential of the others."""
    size = np.abs(x)
    size = select(size > LARGEST, LARGEST, size)
    far = size > SPLIT
    small, large = fma32(polynomial(SMALL, size * size), size, size), select(far, size, f32(0))
    near_one = f32(1) - _exponential(-fma32(polynomial(BIG, large), large, large))
    return np.copysign(select(far, near_one, small), x)


def _exponential(x: Any) -> Any:
    """exp of numbers from -88 to 0."""
    power = fma32(x, PER_LOG2, ROUNDING) - ROUNDING
    for part in LOG2:
        x = fma32(power, part, x)
    return polynomial(EXPONENTIAL, x) * as_float32((i32(power) + 127) << 23)


def gelu(x: Any) -> Any:
    """x (1 + erf(x / sqrt(2))) / 2."""
    return f32(0.5) * x * (f32(1) + erf(x * f32(0.5**0.5)))


def swish(x: Any, alpha: float = 1.0) -> Any:
    """x sigmoid(alpha x)."""
    return x * sigmoid(x * alpha)


def quick_gelu(x: Any, alpha: float = 1.702) -> Any:
    return swish(x, alpha)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": sigmoid,
    "tanh": tanh,
    "erf": erf,
    "gelu": gelu,
    "swish": swish,
    "quick_gelu": quick_gelu,
}
