"""Kernels of functions of float32 numbers, each operation rounded as NumPy rounds it, and of plain integers among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwsim.kernels.code import Code
from hwsim.kernels.moving import Operand, walk, walk_args
from hwsim.kernels.numbers import between

__all__ = ["affine", "less_product", "one", "signs", "two", "whole"]

Params = tuple[tuple[str, Any], ...]


def one(x: Operand, y: Operand, function: Callable[..., Any], params: Params) -> str:
    """Kernel of walk_args: y = function(x, **params)."""
    named: Mapping[str, Any] = dict(params)
    return walk(Code(walk_args((x.name, y.name))), (x, y), lambda v: function(v, **named))


def two(a: Operand, b: Operand, y: Operand, function: Callable[..., Any], bounds: tuple[float, float] | None) -> str:
    """Kernel of walk_args: y = function(a, b), within bounds where there are some."""

    def body(v: Any, w: Any) -> Any:
        found = function(v, w)
        return found if bounds is None else between(found, *bounds)

    return walk(Code(walk_args((a.name, b.name, y.name))), (a, b, y), body)


def affine(x: Operand, mean: Operand, factor: Operand, shift: Operand, y: Operand) -> str:
    """Kernel of walk_args: y = (x - mean) factor + shift."""
    operands = (x, mean, factor, shift, y)
    return walk(Code(walk_args([o.name for o in operands])), operands, lambda v, m, f, s: (v - m) * f + s)


def signs(x: Operand, y: Operand) -> str:
    """Kernel of walk_args, then scale and zero (float32 bits) and the bias of y: 1 where x / scale + zero is not negative, else -1."""
    k = Code((*walk_args((x.name, y.name)), "scale", "zero", "y_bias"))
    scale, zero = (k[n].to("i32").bits("f32") for n in ("scale", "zero"))
    bias = k["y_bias"].to("i32")
    return walk(k, (x, y), lambda v: (v / scale + zero >= 0.0).select(1 - bias, -1 - bias))


def whole(x: Operand, y: Operand) -> str:
    """Kernel of walk_args, the bias of x: whole numbers as real ones."""
    k = Code((*walk_args((x.name, y.name)), "x_bias"))
    bias = k["x_bias"].to("i32")
    return walk(k, (x, y), lambda v: (v.to("i32") + bias).to("f32"))


def less_product(x: Operand, zero: Operand, factor: Operand, y: Operand) -> str:
    """Kernel of walk_args, the bias of zero: int32 numbers y = x - zero factor."""
    k = Code((*walk_args((x.name, zero.name, factor.name, y.name)), "zero_bias"))
    bias = k["zero_bias"].to("i32")
    return walk(k, (x, zero, factor, y), lambda v, z, f: v - (z.to("i32") + bias) * f)
