"""Steps on single stored numbers as table lookups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwsim.kernels import elementwise
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import DTYPES, WIDTHS, Desk, Place
from hwsim.ops._regrid import regrid
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = ["emit_copy", "emit_move", "emit_moves", "emit_scatter", "emit_table"]

MOST_BITS = 16


def emit_table(step: Step, desk: Desk, function: Callable[[Array], Array]) -> bool:
    """One table over every stored number of the input; False for inputs wider than 16 bits or with a scale per channel."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    if (
        x.constant is not None
        or x.quant is None
        or x.quant.bits > MOST_BITS
        or any(t.quant and t.quant.granularity != "per_tensor" for t in (x, y))
    ):
        return False
    source, target = desk.place(x), desk.place(y)
    if source.order != target.order:
        return False
    fmt = x.quant.format
    numbers = np.arange(int(fmt.low), int(fmt.high) + 1).astype(fmt.dtype)
    values = function(numbers)
    table = (
        values.astype(DTYPES[target.kind]) if target.kind == "f32" else (values.astype(np.int64) - target.bias).astype(DTYPES[target.kind])
    )
    _lookup(desk, source.offset, target.offset, source, target.kind, table, int(fmt.low))
    return True


def emit_move(step: Step, desk: Desk, index: int, output: int, sources: Array, fill: int = 0) -> bool:
    """Elements of input `index` to output `output`, requantized where the grids differ: `sources` gives for each logical output
    element the logical input element (flat), or -1 for the stored number `fill`."""
    x, y = step.inputs[index], step.outputs[output]
    assert x is not None
    if x.constant is not None:
        return False
    source, target = desk.place(x), desk.place(y)
    start = source.offset
    if x.quant is not None and y.quant is not None and not x.quant.same_grid(y.quant):
        start = desk.work(source.elements * WIDTHS[target.kind])
        table = _regrid_table(step, x.quant, y.quant, target.bias, target.kind)
        _lookup(desk, source.offset, start, source, target.kind, table, int(x.quant.format.low))
    elif source.kind != target.kind:
        return False
    wanted = np.where(sources >= 0, source.positions().ravel()[np.maximum(sources, 0)], -1)
    order = np.empty(target.elements, np.int32)
    order[target.positions().ravel()] = wanted.ravel()
    desk.call(
        Kernel(elementwise.move, (target.kind,)),
        [start, target.offset, target.elements, desk.keep(order), source.elements, fill - target.bias],
    )
    return True


def emit_copy(step: Step, desk: Desk) -> bool:
    """Stored numbers as they are."""
    x = step.inputs[0]
    assert x is not None
    desk.reorder(desk.place(x), desk.place(step.outputs[0]))
    return True


def emit_scatter(step: Step, desk: Desk, index: int, targets: Array) -> bool:
    """Every element of input `index`, requantized where the grids differ, to the logical (flat) elements `targets` of the output."""
    x, y = step.inputs[index], step.outputs[0]
    assert x is not None and x.quant is not None and y.quant is not None
    source, target = desk.place(x), desk.place(y)
    start = source.offset
    if not x.quant.same_grid(y.quant):
        start = desk.work(source.elements * WIDTHS[target.kind])
        table = _regrid_table(step, x.quant, y.quant, target.bias, target.kind)
        _lookup(desk, source.offset, start, source, target.kind, table, int(x.quant.format.low))
    elif source.kind != target.kind:
        return False
    order = np.empty(source.elements, np.int32)
    order[source.positions().ravel()] = target.positions().ravel()[targets.ravel()]
    desk.call(Kernel(elementwise.scatter, (target.kind,)), [start, target.offset, source.elements, desk.keep(order), target.elements, 0])
    return True


def _regrid_table(step: Step, source: QuantParams, target: QuantParams, bias: int, kind: str) -> Array:
    """The stored form of every stored number on another grid."""
    numbers = np.arange(int(source.format.low), int(source.format.high) + 1).astype(source.format.dtype)
    return (regrid(step, numbers, source, target).astype(np.int64) - bias).astype(DTYPES[kind])


def _lookup(desk: Desk, start: int, end: int, source: Place, kind: str, table: Array, low: int) -> None:
    """Stored numbers from `start` through a table whose first entry is for the number `low`."""
    desk.call(
        Kernel(elementwise.lookup, (source.kind, kind)), [start, end, source.elements, desk.keep(table), len(table), source.bias - low]
    )


def emit_moves(step: Step, desk: Desk, compute: Callable[..., Array | tuple[Array, ...]]) -> bool:
    """An operator that only moves elements, found out by letting it move their indices."""
    x = step.inputs[0]
    if x is None or x.constant is not None or any(t is not None and t.constant is None for t in step.inputs[1:]):
        return False
    if x.quant is not None and (x.quant.bits > MOST_BITS or any(t.quant is None for t in step.outputs)):
        return False
    others = [t.constant.array for t in step.inputs[1:] if t is not None and t.constant is not None]
    moved = compute(step.node, np.arange(x.elements).reshape(x.shape), *others)
    parts = moved if isinstance(moved, tuple) else (moved,)
    return all(emit_move(step, desk, 0, i, part.ravel()) for i, part in enumerate(parts))
