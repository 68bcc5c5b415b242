"""Scalar functions that the NumPy reference calls on arrays and the compiled kernels call on numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["SCALARS", "scalar"]

F = TypeVar("F", bound=Callable[..., Any])
SCALARS: list[Callable[..., Any]] = []


def scalar(function: F) -> F:
    """Mark a branch-free function that means the same on NumPy arrays and on Numba scalars; kernels may call it."""
    SCALARS.append(function)
    return function
