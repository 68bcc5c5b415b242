"""Products of two computed matrices as calls of their kernel."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import mac
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import WIDTHS, Desk, Place
from hwsim.ops._mac import epilogue
from hwsim.ops._mac_plan import finishing_of, rows_of
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["emit_product"]


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
    rows, depth, columns = sizes
    way_out = finishing_of(desk, epilogue(step, columns), rows_of(y), "i64")
    args = [
        *(x.offset, w.offset, y.offset, len(offsets), rows, depth, columns, desk.keep(offsets.astype(np.int64)), *strides),
        *(int(xq.zero_point) - x.bias, int(wq.zero_point) - w.bias, *way_out.values(), WIDTHS[y.kind]),
        *(desk.work(8 * columns + 8 * 16), desk.counter(step), step.accumulator.bits, int(step.accumulator.overflow == "saturate")),
    ]
    desk.call(Kernel(mac.product, (x.kind, w.kind)), args)
    return True
