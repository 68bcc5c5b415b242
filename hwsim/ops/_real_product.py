"""Matrix products of float32 numbers as calls of the micro-kernel: by known columns, or of two computed matrices, product by product."""

from __future__ import annotations

from math import prod
from operator import add

import numpy as np

from hwsim.graph import Shape, Tensor
from hwsim.kernels import moving, reals
from hwsim.kernels.batched import EACH_ARGS, each
from hwsim.kernels.compiling import Kernel, address
from hwsim.kernels.real_dots import REALS
from hwsim.kernels.tile import TILE_ARGS, tile
from hwsim.ops._lowering import WIDTHS, Desk, Place, Source
from hwsim.ops._mac_plan import Axis, rows_of, way_out
from hwsim.ops._real_mac import RealMac, emit_real_tiles, known, real_epilogue, widened
from hwsim.ops._route_tiles import CACHED, tile_shape
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["emit_real_matmul"]

SIZE = WIDTHS["f64"]


def emit_real_matmul(step: Step, desk: Desk) -> bool:
    """A matmul; False for what moves in too many ways, and where what is added is computed and scaled."""
    c, beta = step.inputs[2] if len(step.inputs) > 2 else None, step.node.attrs["beta"]
    y, shift = step.outputs[0], known(c)
    if c is not None and shift is None and beta != 1:
        return False
    shift = shift if shift is None or beta == 1 else shift * np.float32(beta)
    beside = shift is not None and shift.size == (1, *shift.shape)[-1]
    bias, out = shift.reshape(-1) if shift is not None and beside else np.zeros(1, np.float32), desk.row_major(y)
    if not _emit_columns(step, desk, out, bias) and not _emit_each(step, desk, out, bias):
        return False
    desk.reorder(out, desk.place(y))
    if c is None or beside:
        return True
    target, other = desk.operand(desk.place(y)), desk.real(c) if shift is None else desk.numbers(shift)
    return desk.walk(reals.two, y.shape, [target, other], target, add, None)


def _emit_columns(step: Step, desk: Desk, out: Place, bias: Array) -> bool:
    """By a constant matrix: a 1 x 1 convolution over the rows."""
    (a, b), attrs, weights = step.inputs[:2], step.node.attrs, known(step.inputs[1])
    if a is None or b is None or a.constant is not None or weights is None or not len(b.shape) == 2 <= len(a.shape) or attrs["trans_a"]:
        return False
    columns = (weights if attrs["trans_b"] else weights.T)[None, :, None, None, :]
    x = widened(desk, desk.place(a), order=tuple(range(len(a.shape))))
    emit_real_tiles(RealMac(step, columns, Axis(), Axis(), rows_of(x), rows_of(out), bias, attrs["alpha"]), desk)
    return True


def _matrix(desk: Desk, t: Tensor, turned: bool, left: bool) -> Source:
    """An operand with rows and columns last: a vector is a row on the left, a column on the right."""
    held = desk.real(t)
    shape, strides = held.shape, held.strides
    if len(shape) == 1:
        shape, strides = ((1, *shape), (0, *strides)) if left else ((*shape, 1), (*strides, 0))
    order = (*range(len(shape) - 2), *((-1, -2) if turned else (-2, -1)))
    return held.reshaped(tuple(shape[i] for i in order), tuple(strides[i] for i in order))


def _emit_each(step: Step, desk: Desk, out: Place, bias: Array) -> bool:
    """Both in float64 in scratch memory, then product by product."""
    a, b = step.inputs[:2]
    assert a is not None and b is not None
    left, right = _matrix(desk, a, step.node.attrs["trans_a"], True), _matrix(desk, b, step.node.attrs["trans_b"], False)
    batch, (rows, depth), columns = np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2:], right.shape[-1]
    tile_rows, vectors = tile_shape(columns, rows, REALS.lanes)
    width, count = vectors * REALS.lanes, prod(batch)
    panels = -(-columns // width)
    x, w = desk.work(SIZE * count * rows * depth), desk.work(SIZE * count * panels * depth * width)
    laid = desk.walk(moving.copy, (*batch, rows, depth), [left], _dense(x, (*batch, rows, depth)))
    if not laid or not _lay_panels(desk, right, _dense(w, (*batch, panels, depth, width))):
        return False
    way, tiled = way_out(desk, real_epilogue(columns, bias, step.node.attrs["alpha"]), "f32", 0, width)
    tables = {"x_table": np.arange(rows) * SIZE * depth, "y_table": np.arange(rows) * 4 * columns, "tap_table": np.zeros(1)}
    tiled |= {n: desk.keep(t.astype(np.int32)) for n, t in tables.items()}
    tiled |= {"images": 1, "pixels": rows, "taps": 1, "steps": depth, "channels": columns}
    tiled |= {"start": desk.keep(np.zeros(panels * width)), "block": max(CACHED // (SIZE * depth * width), 1)}
    held = np.array([tiled.get(n, 0) for n in TILE_ARGS], np.int64)
    steps = {"x_step": SIZE * rows * depth, "y_step": 4 * rows * columns, "weights_step": SIZE * panels * depth * width}
    args = {"batches": count, "x": x, "y": out.offset, "weights": w, **steps, "own_args": desk.work(held.nbytes)}
    args |= {"tile": address(Kernel(tile, (REALS, tile_rows, vectors, way))), "tile_args": desk.keep(held)}
    desk.call_named(Kernel(each), EACH_ARGS, args)
    return True


def _dense(offset: int, shape: Shape) -> Source:
    """float64 numbers in the arena in the order of their axes."""
    strides = tuple(SIZE * prod(shape[i + 1 :]) for i in range(len(shape)))
    return Source(offset, moving.IN_ARENA, "f64", shape, strides, 0)


def _lay_panels(desk: Desk, right: Source, panels: Source) -> bool:
    """Columns as [panel][row][column of the panel]: whole panels, then what is left."""
    batch, (depth, width) = panels.shape[:-3], panels.shape[-2:]
    *outer, down, across = right.strides
    whole, rest = divmod(right.shape[-1], width)
    parts = [(0, whole, width), (whole, 1, rest)]
    for first, many, wide in parts:
        source = right.reshaped((*right.shape[:-2], many, depth, wide), (*outer, width * across, down, across))
        source, target = source.moved(first * width * across), panels.moved(first * panels.strides[-3])
        if many and wide and not desk.walk(moving.copy, (*batch, many, depth, wide), [source], target):
            return False
    return True
