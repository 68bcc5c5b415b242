"""Products of two computed matrices as calls of their kernel."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import host, mac
from hwsim.kernels.batched import BATCHED_ARGS, batched
from hwsim.kernels.compiling import Kernel, address
from hwsim.kernels.dots import PAIRS
from hwsim.kernels.packing import padded
from hwsim.kernels.tile import TILE_ARGS, tile
from hwsim.ops._lowering import WIDTHS, Desk, Place
from hwsim.ops._mac import epilogue
from hwsim.ops._mac_plan import finishing_of, rows_of, way_out
from hwsim.ops._route_tiles import CACHED, tile_shape, wrapped32
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["emit_product"]

SPILL = 128  # bytes of the vectors that pass a row's end


def emit_product(
    step: Step,
    desk: Desk,
    x: Place,
    w: Place,
    y: Place,
    offsets: Array,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int, int, int],
) -> bool:
    """A product of two computed matrices.  `offsets` (batches, 3) are elements of x, w, y; `sizes` rows, depth, columns; `strides`
    x row, x depth, w depth, w column, y row."""
    xq, wq = (t.quant for t in step.inputs[:2] if t is not None)
    assert xq is not None and wq is not None
    if not step.accumulator.any_order:
        return False
    if _in_words(step, x, w, sizes):
        _emit_batched(step, desk, x, w, y, offsets, sizes, strides)
        return True
    rows, depth, columns = sizes
    finishing = finishing_of(desk, epilogue(step, columns), rows_of(y), "i64")
    args = [
        *(x.offset, w.offset, y.offset, len(offsets), rows, depth, columns, desk.keep(offsets.astype(np.int64)), *strides),
        *(int(xq.zero_point) - x.bias, int(wq.zero_point) - w.bias, *finishing.values(), WIDTHS[y.kind]),
        *(desk.work(8 * columns + 8 * 16), desk.counter(step), step.accumulator.bits, int(step.accumulator.overflow == "saturate")),
    ]
    desk.call(Kernel(mac.product, (x.kind, w.kind)), args)
    return True


def _in_words(step: Step, x: Place, w: Place, sizes: tuple[int, int, int]) -> bool:
    """Whether both are bytes, and no sum leaves the accumulator or 32 bits."""
    if (x.kind, w.kind) != ("u8", "u8"):
        return False
    bias = float(np.abs(epilogue(step, sizes[2]).bias).max(initial=0))
    return 255 * 255 * sizes[1] + bias < 2.0 ** (min(step.accumulator.bits, 32) - 1)


def _emit_batched(
    step: Step,
    desk: Desk,
    x: Place,
    w: Place,
    y: Place,
    offsets: Array,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int, int, int],
) -> None:
    """Both laid out batch by batch for the micro-kernel."""
    xq, wq = (t.quant for t in step.inputs[:2] if t is not None)
    assert xq is not None and wq is not None
    (rows, depth, columns), (x_row, x_depth, w_depth, w_column, y_row) = sizes, strides
    tile_rows, vectors = tile_shape(columns, rows)
    width, steps, e = vectors * host.lanes(), -(-depth // 2), epilogue(step, columns)
    way, tiled = way_out(desk, e, y.kind, y.bias, width)
    args = {"x": x.offset, "w": w.offset, "y": y.offset, "batches": len(offsets), "offsets": desk.keep(offsets.astype(np.int64))}
    args |= {"rows": rows, "depth": depth, "columns": columns, "x_row": x_row, "x_depth": x_depth, "w_depth": w_depth}
    args |= {"w_column": w_column, "x_zero": int(xq.zero_point) - x.bias, "w_zero": int(wq.zero_point) - w.bias, "y_size": WIDTHS[y.kind]}
    args |= {"left": desk.work(4 * rows * steps + SPILL), "right": desk.work(4 * steps * -(-columns // width) * width)}
    tables = {"x_table": np.arange(rows) * 4 * steps, "y_table": np.arange(rows) * y_row * WIDTHS[y.kind], "tap_table": np.zeros(1)}
    tiled |= {n: desk.keep(t.astype(np.int32)) for n, t in tables.items()}
    tiled |= {"x": args["left"], "images": 1, "pixels": rows, "taps": 1, "steps": steps, "channels": columns}
    tiled |= {"start": desk.keep(padded(wrapped32(e.bias), np.int32, width)), "block": max(CACHED // (4 * steps * width), 1)}
    held = np.array([tiled.get(n, 0) for n in TILE_ARGS], np.int64)
    args |= {
        "tile": address(Kernel(tile, (PAIRS, tile_rows, vectors, way))),
        "tile_args": desk.keep(held),
        "own_args": desk.work(held.nbytes),
    }
    desk.call_named(Kernel(batched, (vectors, x_depth == 1, w_column == 1)), BATCHED_ARGS, args)
