"""Steps on single stored numbers as table lookups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwsim.graph import Tensor
from hwsim.kernels import moving
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import DTYPES, WIDTHS, Desk, Place, Source
from hwsim.ops._regrid import regrid
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = ["MOST_BITS", "copy_part", "emit_copy", "emit_move", "emit_moves", "emit_part", "emit_table"]

MOST_BITS = 16
FEWEST_BESIDE = 8  # elements side by side, on average, that are moved as runs


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
    fmt = x.quant.format
    numbers = np.arange(int(fmt.low), int(fmt.high) + 1).astype(fmt.dtype)
    values = function(numbers)
    table = (
        values.astype(DTYPES[target.kind]) if target.kind == "f32" else (values.astype(np.int64) - target.bias).astype(DTYPES[target.kind])
    )
    return _lookup(desk, source, target, table, int(fmt.low))


def emit_move(step: Step, desk: Desk, index: int, output: int, sources: Array, fill: int = 0) -> bool:
    """Elements of input `index` to output `output`, requantized where the grids differ: `sources` gives for each logical output
    element the logical input element (flat), or -1 for the stored number `fill`."""
    x, target = step.inputs[index], desk.place(step.outputs[output])
    assert x is not None
    source = None if x.constant is not None else _on_grid_of(step, desk, x, step.outputs[output])
    if source is None:
        return False
    wanted = np.where(sources >= 0, source.positions().ravel()[np.maximum(sources, 0)], -1)
    if target.strides == _dense(target) and _in_order(wanted, target):
        flat = (target.elements,)
        sides = (desk.operand(p).reshaped(flat, (WIDTHS[target.kind],)) for p in (source, target))
        return desk.walk(moving.copy, flat, [next(sides)], next(sides))
    _move(desk, source, target, wanted, target.positions().ravel(), fill - target.bias)
    return True


def _dense(place: Place) -> tuple[int, ...]:
    return replace(place, halo=()).strides


def _in_order(sources: Array, target: Place) -> bool:
    """Whether the elements of a tensor without gaps lie in memory as their sources do."""
    return np.array_equal(_by_target(target.positions().ravel(), sources)[1], np.arange(target.elements))


def _by_target(targets: Array, sources: Array) -> tuple[Array, Array]:
    """Targets in ascending order, each there once, and their sources."""
    nothing = -2
    laid = np.full(int(targets.max(initial=-1)) + 1, nothing, np.int64)
    laid[targets] = sources
    found = np.flatnonzero(laid != nothing)
    return found, laid[found]


def _move(desk: Desk, source: Place, target: Place, sources: Array, targets: Array, fill: int = 0) -> None:
    """Element by element, or in runs where enough of them lie side by side in both."""
    targets, sources = _by_target(targets, sources)
    beside = (np.diff(targets) == 1) & (np.diff(sources) == np.where(sources[:-1] < 0, 0, 1))
    starts = np.flatnonzero(np.append(True, ~beside))
    args = {"x": source.offset, "y": target.offset, "fill": fill}
    if len(starts) * FEWEST_BESIDE > len(targets):
        args |= {"count": len(targets), "sources": desk.keep(sources.astype(np.int32)), "targets": desk.keep(targets.astype(np.int32))}
        desk.call_named(Kernel(moving.move, (target.kind,)), moving.MOVE_ARGS, args)
        return
    lengths = np.diff(np.append(starts, len(targets)))
    args |= {"count": len(starts), "lengths": desk.keep(lengths.astype(np.int32))}
    args |= {n: desk.keep(v[starts].astype(np.int32)) for n, v in (("sources", sources), ("targets", targets))}
    desk.call_named(Kernel(moving.move_runs, (target.kind,)), (*moving.MOVE_ARGS, "lengths"), args)


def _on_grid_of(step: Step, desk: Desk, x: Tensor, y: Tensor) -> Place | None:
    """Where the numbers of x lie on the grid of y: its own place, or requantized in scratch memory; None when neither can be."""
    source, kind = desk.place(x), desk.place(y).kind
    if x.quant is None or y.quant is None or x.quant.same_grid(y.quant):
        return source if source.kind == kind else None
    plain = replace(source, halo=(), kind=kind)
    own = replace(plain, offset=desk.work(plain.bytes))
    table = _regrid_table(step, x.quant, y.quant, desk.place(y).bias, kind)
    return own if _lookup(desk, source, own, table, int(x.quant.format.low)) else None


def emit_copy(step: Step, desk: Desk) -> bool:
    """Stored numbers as they are."""
    x = step.inputs[0]
    assert x is not None
    desk.reorder(desk.place(x), desk.place(step.outputs[0]))
    return True


def emit_part(step: Step, desk: Desk, index: int, axis: int, first: int) -> bool:
    """Input `index`, requantized where the grids differ, to the output from `first` on along an axis."""
    x, y = step.inputs[index], step.outputs[0]
    assert x is not None
    source = _on_grid_of(step, desk, x, y)
    return source is not None and copy_part(desk, desk.operand(source), y, axis, first)


def copy_part(desk: Desk, source: Source, y: Tensor, axis: int, first: int) -> bool:
    """Numbers as they are to y from `first` on along an axis."""
    target = desk.operand(desk.place(y))
    part = replace(target, address=target.address + first * target.strides[axis], shape=source.shape)
    return desk.walk(moving.copy, source.shape, [source], part)


def _regrid_table(step: Step, source: QuantParams, target: QuantParams, bias: int, kind: str) -> Array:
    """The stored form of every stored number on another grid."""
    numbers = np.arange(int(source.format.low), int(source.format.high) + 1).astype(source.format.dtype)
    return (regrid(step, numbers, source, target).astype(np.int64) - bias).astype(DTYPES[kind])


def _lookup(desk: Desk, source: Place, target: Place, table: Array, low: int) -> bool:
    """Stored numbers through a table whose first entry is for the number `low`."""
    sides = desk.operand(source), desk.operand(target)
    return desk.walk(moving.lookup, source.shape, [sides[0]], sides[1], table=desk.keep(table), shift=source.bias - low)


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
