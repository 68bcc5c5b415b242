"""Piecewise linear functions of real numbers, on arrays and on the lanes of a kernel.

What is not a number stays so; a threshold takes it for small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels.numbers import between, select

__all__ = ["FUNCTIONS"]


def relu(x: Any) -> Any:
    return select(x < 0, 0, x)


def leaky_relu(x: Any, alpha: float = 0.01) -> Any:
    return select(x >= 0, x, x * alpha)


def thresholded_relu(x: Any, alpha: float = 1.0) -> Any:
    return select(x > alpha, x, 0)


def hard_sigmoid(x: Any, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return between(alpha * x + beta, 0, 1)


def hard_swish(x: Any) -> Any:
    return x * hard_sigmoid(x, 1 / 6, 0.5)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": relu,
    "clip": between,
    "leaky_relu": leaky_relu,
    "thresholded_relu": thresholded_relu,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": hard_swish,
}
