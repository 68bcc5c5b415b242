"""Kernels of integer formulas that an arithmetic brings as functions for arrays and lanes: two operands, reductions, interpolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.finishing import WAY_ARGS, Way
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.moving import Operand, by_fours, walk, walk_args

__all__ = ["PAIR_PARAMETERS", "REDUCE_ARGS", "RESIZE_ARGS", "Table", "interpolate", "pairs", "quantize", "reduce", "requantize"]

PAIR_PARAMETERS = 10
REDUCE_ARGS = ("x", "y", "outputs", "terms", "starts", "offsets", "x_zero", *WAY_ARGS)
RESIZE_ARGS = (
    *("x", "y", "images", "rows", "columns", "channels", "out_rows", "out_columns"),
    *("row_low", "row_high", "row_weights", "column_low", "column_high", "column_weights", "x_bias", "y_bias", "low", "high"),
    "parameters",
)


def pairs(a: Operand, b: Operand, y: Operand, function: Callable[..., Any]) -> str:
    """Kernel of walk_args, address of ten parameters (float64), biases of a, b and y, low, high: y = function(a, b, p, low, high)."""
    k = Code((*walk_args((a.name, b.name, y.name)), "parameters", "a_bias", "b_bias", "y_bias", "low", "high"))
    p = [k.load("f64", k["parameters"] + 8 * i) for i in range(PAIR_PARAMETERS)]
    a_bias, b_bias, y_bias, low, high = (k[n].to("i32") for n in ("a_bias", "b_bias", "y_bias", "low", "high"))

    def body(left: Lanes, right: Lanes) -> Lanes:
        return function(left.to("i32") + a_bias, right.to("i32") + b_bias, p, low, high).to("i32") - y_bias

    return walk(k, (a, b, y), body)


def unlimited_pairs(a: Operand, b: Operand, y: Operand, function: Callable[..., Any]) -> str:
    """`pairs` with the limits of bytes: y = function(a, b, p), an int32, saturated when it is stored."""
    if by_fours((a, b, y)):
        return pairs(a, b, y, lambda left, right, p, low, high: function(left, right, p))
    return pairs(a, b, y, lambda left, right, p, low, high: function(left, right, p).at_least(low).at_most(high))


def quantize(x: Operand, y: Operand, function: Callable[..., Any]) -> str:
    """Kernel of walk_args, the grid's number (float32 bits), zero point, low, high, bias of y: y = function(x, number, zero, low, high)."""
    k = Code((*walk_args((x.name, y.name)), "number", "zero", "low", "high", "y_bias"))
    number, (zero, low, high, bias) = k["number"].to("i32").bits("f32"), (k[n].to("i32") for n in ("zero", "low", "high", "y_bias"))
    return walk(k, (x, y), lambda v: function(v, number, zero, low, high).to("i32") - bias)


def requantize(x: Operand, y: Operand, function: Callable[..., Any]) -> str:
    """Kernel of walk_args, multiplier and exponent, zero point of x, that of y, low, high, bias of y:
    y = function(x - x zero, (multiplier, exponent), zero, low, high), all in int32."""
    k = Code((*walk_args((x.name, y.name)), "multiplier", "exponent", "x_zero", "zero", "low", "high", "y_bias"))
    x_zero, zero, low, high, bias = (k[n].to("i32") for n in ("x_zero", "zero", "low", "high", "y_bias"))
    parameters = k["multiplier"], k["exponent"]
    return walk(k, (x, y), lambda v: function(v - x_zero, parameters, zero, low, high).to("i32") - bias)


def reduce(kind: str, way: Way) -> str:
    """Kernel of REDUCE_ARGS: sums of stored numbers without their zero point, wrapped at 32 bits, and the way out.

    `starts` is the address of (element of the first term, element of the output) pairs, `offsets` of the terms' distances (int64).
    """
    k = Code(REDUCE_ARGS)
    p = way.loaded(k, k.number("i64", 0), 1)
    with k.loop(k["outputs"]) as i:
        first, target = (k.load("i64", k["starts"] + 16 * i + 8 * j) for j in range(2))
        total = k.variable(k.number("i32", 0))
        with k.loop(k["terms"]) as j:
            place = first + k.load("i64", k["offsets"] + 8 * j)
            total.set(total.get() + (k.load(kind, k.arena + k["x"] + k.size(kind) * place).to("i32") - k["x_zero"].to("i32")))
        k.store(way.stored(k, total.get(), p), k.arena + k["y"] + k.size(way.kind) * target, way.kind)
    return k.finished()


class Table:
    """Numbers at an address, read one by one."""

    def __init__(self, k: Code, kind: str, address: Lanes) -> None:
        self.k, self.kind, self.address = k, kind, address

    def __getitem__(self, index: Lanes) -> Lanes:
        return self.k.load(self.kind, self.address + self.k.size(self.kind) * index.to("i64"))


def interpolate(kind: str, blend: Callable[..., Any], parameters: int = 0) -> str:
    """Kernel of RESIZE_ARGS: channels-last images whose every number is `blend` of four stored neighbours, the weights of row and
    column, and so many parameters.  Taps (int64) and weights (float64) are addresses, one number per output row or column."""
    k = Code(RESIZE_ARGS)
    lanes, size, x, y = host.lanes(), k.size(kind), k.arena + k["x"], k.arena + k["y"]
    p = [k.load("f64", k["parameters"] + 8 * i) for i in range(parameters)]
    taps = {n: Table(k, "f64" if "weights" in n else "i64", k[n]) for n in RESIZE_ARGS if n.endswith(("_low", "_high", "_weights"))}
    x_bias, y_bias, low, high = (k[n].to("i32") for n in ("x_bias", "y_bias", "low", "high"))
    with k.loop(k["images"]) as n, k.loop(k["out_rows"]) as oy, k.loop(k["out_columns"]) as ox, k.loop(k["channels"], step=lanes) as c:
        corners = []
        for row in (taps["row_low"][oy], taps["row_high"][oy]):
            for column in (taps["column_low"][ox], taps["column_high"][ox]):
                place = ((n * k["rows"] + row) * k["columns"] + column) * k["channels"] + c
                corners.append(k.load(kind, x + size * place, lanes).to("i32") + x_bias)
        value = blend(*corners, taps["row_weights"][oy], taps["column_weights"][ox], *p).to("i32").at_least(low).at_most(high) - y_bias
        target = ((n * k["out_rows"] + oy) * k["out_columns"] + ox) * k["channels"] + c
        k.store_first(value, y + size * target, k["channels"] - c, kind)
    return k.finished()
