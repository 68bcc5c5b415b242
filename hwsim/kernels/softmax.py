"""Kernels of softmax on rows: of stored numbers through a table of exponentials by (row maximum - number), and of float32.

Stored numbers are looked up one by one into scratch memory, from which sums and quotients are made in vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.integers import Table
from hwsim.kernels.lanes import Lanes

__all__ = ["FLOAT_ARGS", "INTEGER_ARGS", "REAL_ARGS", "TOGETHER", "softmax", "softmax_float", "softmax_real"]

TOGETHER = 4  # rows at a time of which each sum is a chain of additions
_ARGS = ("x", "y", "rows", "columns", "table", "scratch", "low", "high", "y_bias")
INTEGER_ARGS = (*_ARGS, "reciprocals")
REAL_ARGS = (*_ARGS, "together", "factor", "zero")
FLOAT_ARGS = ("x", "y", "rows", "columns", "beta", "inverses", "logarithms")
FLOAT_LANES = 16  # of a sum, on any processor


def softmax(kind: str, y_kind: str, addend: Callable[..., Any], out: Callable[..., Any]) -> str:
    """Kernel of INTEGER_ARGS: out(e, sum of addend(e), reciprocals, low) of exponentials e.

    x, y: arena offsets of rows x columns numbers; table: address of exponentials (int32); scratch: arena offset of `columns` words;
    low, high: limits of the output, which is stored without y_bias; reciprocals: address of int64, given to `out`.
    """
    k = Code(INTEGER_ARGS)
    reciprocals, lanes = Table(k, "i64", k["reciprocals"]), host.lanes()
    with k.loop(k["rows"]) as row:
        (scratch,) = _look_up(k, kind, "i32", [row])
        total = k.variable(k.number("i32", 0, lanes))
        with k.loop(k["columns"], step=lanes) as i:
            part = addend(k.load("i32", scratch + 4 * i, lanes))
            total.set(total.get() + k.among(k["columns"] - i, lanes).select(part, part.constant(0)))
        whole = total.get().to("i64").reduce("add")
        with k.loop(k["columns"], step=lanes) as i:
            value = out(k.load("i32", scratch + 4 * i, lanes), whole, reciprocals, k["low"].to("i32")).to("i32")
            _store(k, y_kind, row, i, value)
    return k.finished()


def softmax_real(kind: str) -> str:
    """Kernel of REAL_ARGS: rint(float64(e) factor / sum) + zero of float32 exponentials e, summed in float32 one after the other.

    As `softmax`, with a float32 table and scratch for TOGETHER rows; together: rows down to a multiple of TOGETHER; factor: float64 bits.
    """
    k = Code(REAL_ARGS)
    with k.loop(k["together"], step=TOGETHER) as row:
        _real_rows(k, kind, [row + i for i in range(TOGETHER)])
    with k.loop(k["rows"], start=k["together"]) as row:
        _real_rows(k, kind, [row])
    return k.finished()


def _real_rows(k: Code, kind: str, rows: list[Lanes]) -> None:
    held, totals = _look_up(k, kind, "f32", rows), [k.variable(k.number("f32", 0)) for _ in rows]
    with k.loop(k["columns"]) as i:
        for scratch, total in zip(held, totals, strict=True):
            total.set(total.get() + k.load("f32", scratch + 4 * i))
    sums = [t.get().to("f64") for t in totals]
    with k.loop(k["columns"], step=host.lanes()) as i:
        for row, scratch, whole in zip(rows, held, sums, strict=True):
            e = k.load("f32", scratch + 4 * i, host.lanes()).to("f64")
            v = (e * k["factor"].bits("f64") / whole).call("rint") + k["zero"].to("f64")
            _store(k, kind, row, i, v.at_least(k["low"].to("f64")).at_most(k["high"].to("f64")).to("i32"))


def _look_up(k: Code, kind: str, held: str, rows: list[Lanes]) -> list[Lanes]:
    """The addresses in scratch memory of each row's exponentials, once they are there."""
    table, row_bytes = Table(k, held, k["table"]), 4 * (k["columns"] + host.lanes())
    places = [k.arena + k["scratch"] + i * row_bytes for i in range(len(rows))]
    starts = [k.arena + k["x"] + k.size(kind) * k["columns"] * row for row in rows]
    tops = [_largest(k, kind, x).to("i64") for x in starts]
    with k.loop(k["columns"]) as i:
        for x, place, top in zip(starts, places, tops, strict=True):
            k.store(table[top - k.load(kind, x + k.size(kind) * i).to("i64")], place + 4 * i)
    return places


def _largest(k: Code, kind: str, x: Lanes) -> Lanes:
    first = k.load(kind, x).to("i32").spread(host.lanes())
    top = k.variable(first)
    with k.loop(k["columns"], step=host.lanes()) as i:
        numbers = k.load(kind, x + k.size(kind) * i, host.lanes()).to("i32")
        top.set(top.get().at_least(k.among(k["columns"] - i, host.lanes()).select(numbers, first)))
    return top.get().reduce("smax")


def _store(k: Code, y_kind: str, row: Lanes, i: Lanes, value: Lanes) -> None:
    held = value.at_least(k["low"].to("i32")).at_most(k["high"].to("i32")) - k["y_bias"].to("i32")
    k.store_first(held, k.arena + k["y"] + k.size(y_kind) * (row * k["columns"] + i), k["columns"] - i, y_kind)


def softmax_float(exponential: Callable[..., Any], logarithm: Callable[..., Any] | None = None) -> str:
    """Kernel of FLOAT_ARGS: exponential((x - row maximum) beta) times one over their sum, which is added in the order that
    `arithmetics._mlas_softmax` defines; with its `logarithm` the logarithm of that, (x - row maximum) beta less the sum's.

    x, y: arena offsets of rows x columns float32 numbers; beta: float32 bits; the addresses of the logarithm's tables (float64).
    """
    k = Code(FLOAT_ARGS)
    beta, tables = k["beta"].to("i32").bits("f32"), [Table(k, "f64", k[n]) for n in ("inverses", "logarithms")]
    with k.loop(k["rows"]) as row:
        x, y = (k.arena + k[n] + 4 * k["columns"] * row for n in "xy")
        first = k.load("f32", x).spread(FLOAT_LANES)
        top, total = k.variable(first), k.variable(k.number("f32", 0.0, FLOAT_LANES))
        with k.loop(k["columns"], step=FLOAT_LANES) as i:
            top.set(top.get().at_least(k.among(k["columns"] - i, FLOAT_LANES).select(k.load("f32", x + 4 * i, FLOAT_LANES), first)))
        most = top.get().reduce("fmax")
        with k.loop(k["columns"], step=FLOAT_LANES) as i:
            shifted = (k.load("f32", x + 4 * i, FLOAT_LANES) - most) * beta
            e = exponential(shifted)
            total.set(total.get() + k.among(k["columns"] - i, FLOAT_LANES).select(e, e.constant(0)))
            k.store_first(shifted if logarithm else e, y + 4 * i, k["columns"] - i)
        whole = _paired(total.get())
        inverse, log = (None, logarithm(whole, *tables).to("f32")) if logarithm else (1.0 / whole, None)
        with k.loop(k["columns"], step=FLOAT_LANES) as i:
            v = k.load("f32", y + 4 * i, FLOAT_LANES)
            k.store_first(v * inverse if log is None else v - log, y + 4 * i, k["columns"] - i)
    return k.finished()


def _paired(v: Lanes) -> Lanes:
    """Both halves, then neighbours, added."""
    half = FLOAT_LANES // 2
    v = v.shuffle(list(range(half))) + v.shuffle(list(range(half, 2 * half)))
    while v.lanes > 2:
        v = v.shuffle(list(range(0, v.lanes, 2))) + v.shuffle(list(range(1, v.lanes, 2)))
    return v.lane(0) + v.lane(1)
