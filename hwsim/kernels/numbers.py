"""Conversions and choices that mean the same on NumPy arrays and on the lanes of a kernel under construction.

A function written with these, Python's operators and NumPy's `minimum`, `maximum`, `rint`, `trunc`, `abs`, `copysign` is one
definition for both executors: on arrays it computes, on `lanes.Lanes` it writes machine code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_float32", "as_int32", "as_int64", "between", "f32", "f64", "i32", "i64", "in_int32", "rounded_high_product", "select"]


def _converter(kind: str, dtype: Any) -> Any:
    def convert(x: Any) -> Any:
        return x.to(kind) if hasattr(x, "lanes") else dtype(x)

    convert.__doc__ = f"x as {kind}: whole numbers wrap, real numbers must fit when made whole."
    return convert


f32, f64, i32, i64 = (_converter(k, t) for k, t in (("f32", np.float32), ("f64", np.float64), ("i32", np.int32), ("i64", np.int64)))


def as_int32(x: Any) -> Any:
    """The bits of float32 numbers as int32."""
    return x.bits("i32") if hasattr(x, "lanes") else x.view(np.int32)


def as_int64(x: Any) -> Any:
    """The bits of float64 numbers as int64."""
    return x.bits("i64") if hasattr(x, "lanes") else x.view(np.int64)


def as_float32(x: Any) -> Any:
    """int32 numbers as the bits of float32."""
    return x.bits("f32") if hasattr(x, "lanes") else x.view(np.float32)


def in_int32(x: Any) -> Any:
    """Whole numbers that are known to fit in 32 bits: narrow lanes; arrays stay as they are."""
    return x.to("i32") if hasattr(x, "lanes") else x


def select(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`."""
    return condition.select(yes, no) if hasattr(condition, "lanes") else np.where(condition, yes, no)


def between(x: Any, low: Any, high: Any) -> Any:
    """x limited to [low, high]; what is not a number stays so."""
    raised = select(x < low, low, x)
    return select(raised > high, high, raised)


def rounded_high_product(a: Any, b: Any) -> Any:
    """(a b + 2^30) >> 31 of int32 numbers, not both -2^31: int64 arrays, int32 lanes."""
    if hasattr(a, "lanes") and not hasattr(b, "lanes"):
        b = a.constant(b, "i32")
    if not hasattr(a, "lanes"):
        return (np.int64(a) * np.int64(b) + 1073741824) >> 31
    if a.lanes == 1:
        return ((a.to("i64") * b.to("i64") + 1073741824) >> 31).to("i32")
    wide, factor = a.bits("i64"), b.spread(a.lanes).bits("i64")
    even = (((wide << 32) >> 32) * ((factor << 32) >> 32) + 1073741824) >> 31
    odd = ((wide >> 32) * (factor >> 32) + 1073741824) << 1
    lanes = a.lanes
    return even.bits("i32").shuffle([i + lanes * (i % 2) for i in range(lanes)], odd.bits("i32"))
