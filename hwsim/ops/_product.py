"""Products of two computed matrices as calls of their kernel."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hwsim.kernels import host, mac
from hwsim.kernels.batched import BATCHED_ARGS, batched
from hwsim.kernels.compiling import Kernel, address
from hwsim.kernels.dots import PAIRS
from hwsim.kernels.packing import padded
from hwsim.kernels.tile import TILE_ARGS, tile
from hwsim.ops._lowering import WIDTHS, Desk, Place
from hwsim.ops._mac import epilogue
from hwsim.ops._mac_group import wrapped32
from hwsim.ops._mac_plan import finishing_of, rows_of, way_out
from hwsim.ops._route_tiles import CACHED, tile_shape
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["Batch", "emit_product"]

SPILL = 128  # bytes of the vectors that pass a row's end


@dataclass(frozen=True, eq=False)
class Batch:
    """Products of two computed matrices: where they lie, the elements of x, w and y with which each begins (batches, 3), sizes, and
    strides in elements."""

    step: Step
    x: Place
    w: Place
    y: Place
    offsets: Array
    rows: int
    depth: int
    columns: int
    x_row: int
    x_depth: int
    w_depth: int
    w_column: int
    y_row: int

    def args(self, desk: Desk) -> dict[str, int]:
        """What every kernel of such products is told."""
        xq, wq = (t.quant for t in self.step.inputs[:2] if t is not None)
        assert xq is not None and wq is not None
        numbers = {f.name: getattr(self, f.name) for f in fields(self)[5:]}
        zeros = {"x_zero": int(xq.zero_point) - self.x.bias, "w_zero": int(wq.zero_point) - self.w.bias}
        places = {"x": self.x.offset, "w": self.w.offset, "y": self.y.offset, "y_size": WIDTHS[self.y.kind]}
        return {**places, **numbers, **zeros, "batches": len(self.offsets), "offsets": desk.keep(self.offsets.astype(np.int64))}

    @property
    def in_words(self) -> bool:
        """Whether both are bytes, and no sum leaves the accumulator or 32 bits."""
        if (self.x.kind, self.w.kind) != ("u8", "u8"):
            return False
        bias = float(np.abs(epilogue(self.step, self.columns).bias).max(initial=0))
        return 255 * 255 * self.depth + bias < 2.0 ** (min(self.step.accumulator.bits, 32) - 1)


def emit_product(batch: Batch, desk: Desk) -> bool:
    """The call of a kernel; False for accumulators that depend on the order of products, and for a bias on wide numbers."""
    if not batch.step.accumulator.any_order:
        return False
    if batch.in_words:
        _emit_words(batch, desk)
        return True
    a, columns, e = batch.step.accumulator, batch.columns, epilogue(batch.step, batch.columns)
    if e.bias.any():
        return False
    args = batch.args(desk) | finishing_of(desk, e, rows_of(batch.y), "i64")
    args |= {"sums": desk.work(8 * columns + 8 * 16), "overflowed": desk.counter(batch.step)}
    args |= {"bits": a.bits, "saturate": int(a.overflow == "saturate")}
    desk.call_named(Kernel(mac.product, (batch.x.kind, batch.w.kind)), mac.PRODUCT_ARGS, args)
    return True


def _emit_words(batch: Batch, desk: Desk) -> None:
    """Both matrices laid out for the micro-kernel, product by product."""
    rows, columns, steps, size = batch.rows, batch.columns, -(-batch.depth // 2), WIDTHS[batch.y.kind]
    tile_rows, vectors = tile_shape(columns, rows, host.lanes())
    width, e = vectors * host.lanes(), epilogue(batch.step, columns)
    way, tiled = way_out(desk, e, batch.y.kind, batch.y.bias, width)
    scratch = {"left": desk.work(4 * rows * steps + SPILL), "right": desk.work(4 * steps * -(-columns // width) * width)}
    tables = {"x_table": np.arange(rows) * 4 * steps, "y_table": np.arange(rows) * batch.y_row * size, "tap_table": np.zeros(1)}
    tiled |= {n: desk.keep(t.astype(np.int32)) for n, t in tables.items()}
    tiled |= {"x": scratch["left"], "images": 1, "pixels": rows, "taps": 1, "steps": steps, "channels": columns}
    tiled |= {"start": desk.keep(padded(wrapped32(e.bias), np.int32, width)), "block": max(CACHED // (4 * steps * width), 1)}
    held = np.array([tiled.get(n, 0) for n in TILE_ARGS], np.int64)
    own = {
        "tile": address(Kernel(tile, (PAIRS, tile_rows, vectors, way))),
        "tile_args": desk.keep(held),
        "own_args": desk.work(held.nbytes),
    }
    along = "columns" if batch.w_column == 1 else "depth" if batch.w_depth == 1 else ""
    kernel = Kernel(batched, (vectors, batch.x_depth == 1, along))
    desk.call_named(kernel, BATCHED_ARGS, {**{n: v for n, v in batch.args(desk).items() if n != "y_row"}, **scratch, **own})
