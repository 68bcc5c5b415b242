"""Kernels that normalize float32 rows by their own statistics, in the order that `arithmetics._mlas_norm` defines.

All are of NORM_ARGS.  x, y: arena offsets of rows x columns numbers; `together`: rows down to a multiple of TOGETHER; `fours` and
`eights`: columns down to one of 4 and 8; scale and shift: addresses of a number per column; epsilon: float32 bits.
"""

from __future__ import annotations

from collections.abc import Callable

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.lanes import Lanes

__all__ = ["NORM_ARGS", "TOGETHER", "normalize", "normalize_short"]

NORM_ARGS = ("x", "y", "rows", "columns", "together", "fours", "eights", "scale", "shift", "epsilon")
TOGETHER = 4  # rows at a time: their sums are chains of additions that wait for each other
Add = Callable[[int, Lanes, Lanes], Lanes]  # row, numbers, sums so far


def normalize(centred: bool, shifted: bool) -> str:
    """Kernel: rows of eight columns or more, less their mean (or not: root mean squares), by their deviation, scaled and shifted."""
    k = Code(NORM_ARGS)
    size = 4 * k["columns"]
    with k.loop(k["together"], step=TOGETHER) as row:
        _normalize_rows(k, [size * (row + i) for i in range(TOGETHER)], centred, shifted)
    with k.loop(k["rows"], start=k["together"]) as row:
        _normalize_rows(k, [size * row], centred, shifted)
    return k.finished()


def _normalize_rows(k: Code, rows: list[Lanes], centred: bool, shifted: bool) -> None:
    means = _means(k, rows) if centred else []

    def less_mean(row: int, v: Lanes) -> Lanes:
        return v - means[row] if means else v

    inverses = [1.0 / _deviation(k, s) for s in _squares(k, rows, less_mean)]
    with k.loop(k["columns"], step=host.lanes()) as i:
        scale, shift = (k.load("f32", k[n] + 4 * i, host.lanes()) if n == "scale" or shifted else None for n in ("scale", "shift"))
        for row, place in enumerate(rows):
            y = less_mean(row, k.load("f32", k.arena + k["x"] + place + 4 * i, host.lanes())) * inverses[row]
            k.store_first(y * scale if shift is None else y.call("fma", scale, shift), k.arena + k["y"] + place + 4 * i, k["columns"] - i)


def _means(k: Code, rows: list[Lanes]) -> list[Lanes]:
    """Sums in four lanes of float64."""

    def add(row: int, v: Lanes, total: Lanes) -> Lanes:
        return total + v.to("f64")

    sums = _chained(k, rows, [k.number("f64", 0, 4)] * len(rows), add, stop=k["fours"])
    sums = _chained(k, rows, [_halved(s) for s in sums], add, k["fours"])
    return [(s / k["columns"].to("f64")).to("f32") for s in sums]


def _squares(k: Code, rows: list[Lanes], of: Callable[[int, Lanes], Lanes]) -> list[Lanes]:
    """Fused multiply-adds in eight lanes; of what is left, four are squared before they are added."""

    def fused(row: int, v: Lanes, total: Lanes) -> Lanes:
        return of(row, v).call("fma", of(row, v), total)

    def apart(row: int, v: Lanes, total: Lanes) -> Lanes:
        return total + of(row, v) * of(row, v)

    sums = _chained(k, rows, [k.number("f32", 0, 8)] * len(rows), fused, stop=k["eights"])
    sums = _chained(k, rows, [_halved(s) for s in sums], apart, k["eights"], k["fours"])
    return _chained(k, rows, sums, fused, k["fours"])


def _chained(k: Code, rows: list[Lanes], sums: list[Lanes], add: Add, start: int | Lanes = 0, stop: Lanes | None = None) -> list[Lanes]:
    """The sum of every row after the columns from `start` to `stop`, as many at once as it has lanes."""
    totals, lanes = [k.variable(s) for s in sums], sums[0].lanes
    with k.loop(k["columns"] if stop is None else stop, start, lanes) as i:
        for row, (place, total) in enumerate(zip(rows, totals, strict=True)):
            total.set(add(row, k.load("f32", k.arena + k["x"] + place + 4 * i, lanes), total.get()))
    return [t.get() for t in totals]


def _halved(v: Lanes) -> Lanes:
    while v.lanes > 2:
        half = v.lanes // 2
        v = v.shuffle(list(range(half))) + v.shuffle(list(range(half, 2 * half)))
    return v.lane(0) + v.lane(1)


def _deviation(k: Code, squares: Lanes) -> Lanes:
    return (squares / k["columns"].to("f32") + k["epsilon"].to("i32").bits("f32")).call("sqrt")


def normalize_short(centred: bool, shifted: bool) -> str:
    """Kernel: the same for shorter rows, number by number, without fused operations."""
    k = Code(NORM_ARGS)
    with k.loop(k["rows"]) as row:
        x, y = (k.arena + k[n] + 4 * k["columns"] * row for n in ("x", "y"))
        mean, squares = (k.variable(k.number("f32", 0)) for _ in range(2))
        with k.loop(k["columns"]) as i:
            _update(i, k.load("f32", x + 4 * i), mean if centred else None, squares)
        deviation = _deviation(k, squares.get())
        with k.loop(k["columns"]) as i:
            value = (k.load("f32", x + 4 * i) - mean.get()) / deviation * k.load("f32", k["scale"] + 4 * i)
            k.store(value + k.load("f32", k["shift"] + 4 * i) if shifted else value, y + 4 * i)
    return k.finished()


def _update(i: Lanes, v: Lanes, mean: Variable | None, squares: Variable) -> None:
    """Welford's step, or the square of a number added."""
    if mean is None:
        squares.set(squares.get() + v * v)
        return
    before = v - mean.get()
    mean.set(mean.get() + before / (i + 1).to("f32"))
    squares.set(squares.get() + before * (v - mean.get()))
