"""Pooling kernels on channels-last tensors; windows are cut at the borders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.finishing import WAY_ARGS, Way
from hwsim.kernels.lanes import Lanes

__all__ = ["AVERAGE_ARGS", "FLOAT_ARGS", "POOL_ARGS", "REAL_ARGS", "average", "average_float32", "average_real", "maximum"]

AXES = ("row", "column")
POOL_ARGS = (
    *("x", "y", "images", "channels", "x_image", "y_image"),
    *(f"{name}_{axis}" for axis in AXES for name in ("in", "out", "x", "y", "kernel", "stride", "dilation", "pad")),
)
AVERAGE_ARGS = (*POOL_ARGS, "x_zero", *WAY_ARGS)
REAL_ARGS = (*POOL_ARGS, "counts")
FLOAT_ARGS = (*POOL_ARGS, "x_zero", "x_scale", "y_scale", "y_zero", "counts", "low", "high", "y_bias")


class _Window:
    """One output position: the kernel cells inside the input, and addresses."""

    def __init__(self, k: Code, x: Lanes, y: Lanes, place: Lanes, cells: dict[str, tuple[Lanes, Lanes, Lanes]]) -> None:
        self.k, self.x, self.y, self.place, self.cells = k, x, y, place, cells

    def each(self, visit: Callable[[Lanes], None]) -> None:
        """visit(address of the cell's first channel), row by row."""
        k = self.k
        (row, low, high), (column, left, right) = (self.cells[a] for a in AXES)
        with k.loop(high, start=low) as ky:
            line = self.x + (row + ky * k["dilation_row"]) * k["x_row"]
            with k.loop(right, start=left) as kx:
                visit(line + (column + kx * k["dilation_column"]) * k["x_column"])


@contextmanager
def _positions(k: Code) -> Iterator[_Window]:
    """The lines inside are run for every output position of every image."""
    with k.loop(k["images"]) as n, k.loop(k["out_row"]) as oy, k.loop(k["out_column"]) as ox:
        cells = {axis: _bounds(k, axis, o) for axis, o in zip(AXES, (oy, ox), strict=True)}
        y = k.arena + k["y"] + n * k["y_image"] + oy * k["y_row"] + ox * k["y_column"]
        yield _Window(k, k.arena + k["x"] + n * k["x_image"], y, oy * k["out_column"] + ox, cells)


def _bounds(k: Code, axis: str, out: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Where the window starts, and the first and behind the last kernel cell inside the input."""
    first, step, kernel = out * k[f"stride_{axis}"] - k[f"pad_{axis}"], k[f"dilation_{axis}"], k[f"kernel_{axis}"]
    low = (first < 0).select((step - 1 - first) // step, 0)
    inside = (k[f"in_{axis}"] - 1 - first) // step + 1
    return first, low, (first < k[f"in_{axis}"]).select(inside.at_most(kernel), 0)


def maximum(kind: str) -> str:
    """Kernel of POOL_ARGS: the largest number of each window; real ones that are not a number win."""
    k = Code(POOL_ARGS)
    lanes, size = 4 * host.lanes() // k.size(kind), k.size(kind)
    with _positions(k) as window, k.loop(k["channels"], step=lanes) as c:
        lowest = {"u8": 0, "i16": -32768, "f32": -inf}[kind]
        most = k.variable(k.number(kind, lowest, lanes))

        def visit(cell: Lanes, most: Variable = most, c: Lanes = c) -> None:
            held, found = most.get(), k.load(kind, cell + size * c, lanes)
            most.set(found.call("maximum", held) if found.real else found.at_least(held))

        window.each(visit)
        k.store_first(most.get(), window.y + size * c, k["channels"] - c)
    return k.finished()


def average(kind: str, way: Way) -> str:
    """Kernel of AVERAGE_ARGS: the exact sum of each window, then the way out, with one number of each parameter per output position."""
    k = Code(AVERAGE_ARGS)
    lanes, size = host.lanes(), k.size(kind)
    zero = k["x_zero"].to("i32")
    with _positions(k) as window, k.loop(k["channels"], step=lanes) as c:
        total = k.variable(k.number("i32", 0, lanes))

        def visit(cell: Lanes, total: Variable = total, c: Lanes = c) -> None:
            total.set(total.get() + (k.load(kind, cell + size * c, lanes).to("i32") - zero))

        window.each(visit)
        y = way.stored(k, total.get(), way.loaded(k, window.place, 1))
        k.store_first(y, window.y + k.size(way.kind) * c, k["channels"] - c, way.kind)
    return k.finished()


def average_float32(kind: str) -> str:
    """Kernel of FLOAT_ARGS: ONNX Runtime's QLinearAveragePool, a sequential float32 sum of dequantized cells, row by row.

    Scales and y_zero are the bits of float32 numbers, `counts` the address of one float32 per output position.
    """
    k = Code(FLOAT_ARGS)
    lanes, size = host.lanes(), k.size(kind)
    x_scale, y_scale, y_zero = (k[n].to("i32").bits("f32") for n in ("x_scale", "y_scale", "y_zero"))
    zero, low, high = k["x_zero"].to("i32"), k["low"].to("f32"), k["high"].to("f32")
    with _positions(k) as window, k.loop(k["channels"], step=lanes) as c:
        total = k.variable(k.number("f32", 0.0, lanes))

        def visit(cell: Lanes, total: Variable = total, c: Lanes = c) -> None:
            total.set(total.get() + (k.load(kind, cell + size * c, lanes).to("i32") - zero).to("f32") * x_scale)

        window.each(visit)
        v = (total.get() / k.load("f32", k["counts"] + 4 * window.place) / y_scale + y_zero).call("rint")
        y = v.at_least(low).at_most(high).to("i32") - k["y_bias"].to("i32")
        k.store_first(y, window.y + size * c, k["channels"] - c, kind)
    return k.finished()


def average_real() -> str:
    """Kernel of REAL_ARGS: a sequential float32 sum of float32 cells, row by row, by a float32 count of `counts` per output position."""
    k = Code(REAL_ARGS)
    lanes = host.lanes()
    with _positions(k) as window, k.loop(k["channels"], step=lanes) as c:
        total = k.variable(k.number("f32", 0.0, lanes))

        def visit(cell: Lanes, total: Variable = total, c: Lanes = c) -> None:
            total.set(total.get() + k.load("f32", cell + 4 * c, lanes))

        window.each(visit)
        k.store_first(total.get() / k.load("f32", k["counts"] + 4 * window.place), window.y + 4 * c, k["channels"] - c)
    return k.finished()
