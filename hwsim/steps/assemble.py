"""A Program compiled to a table of kernel calls on one arena; what no kernel does is left to NumPy, in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwsim import formats
from hwsim.graph import Tensor
from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.table import run_table
from hwsim.ops._lowering import ALIGN, DTYPES, Desk, Place, storage_of
from hwsim.ops._tables import emit_moves
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.shelf import load
from hwsim.steps.execute import Execution, check_feeds, held_outputs, run_step

__all__ = ["Assembly", "assemble"]

IMAGE_OPS = ("conv", "conv_transpose", "max_pool", "average_pool", "resize", "depth_to_space")
FOLLOWERS = ("binary", "unary", "quantize", "dequantize", "concat", "pad", "softmax")


@dataclass
class Segment:
    """Calls in a row, or one step for NumPy."""

    rows: Array | None = None
    head: Array | None = None
    step: Step | None = None


@dataclass
class Assembly:
    """A compiled program: places of tensors, segments in run order, and the constants that calls point to."""

    program: Program
    places: Mapping[str, Place]
    segments: list[Segment]
    counters: list[str]
    counter_base: int
    size: int
    keep: list[Array] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array], all_tensors: bool = False) -> Execution:
        """Execute once.  Each call uses an arena of its own, so that threads can share an assembly."""
        arena = _aligned(self.size)
        base = int(arena.ctypes.data)
        outside: dict[str, Array] = {}
        for name, array in check_feeds(self.program, feeds).items():
            self._write(arena, outside, self.program.tensors[name], array)
        counts: dict[str, int] = {}
        for segment in self.segments:
            if segment.step is None:
                assert segment.head is not None
                call(address(Kernel(run_table)), int(segment.head.ctypes.data), base)
            else:
                operands = [
                    None if t is None else t.constant.array if t.constant is not None else self._read(arena, outside, t)
                    for t in segment.step.inputs
                ]
                arrays, over = run_step(segment.step, operands)
                counts |= {segment.step.name: over} if over else {}
                for t, a in zip(segment.step.outputs, arrays, strict=True):
                    self._write(arena, outside, t, a)
        found = arena[self.counter_base : self.counter_base + 8 * len(self.counters)].view(np.int64)
        counts |= {n: int(c) for n, c in zip(self.counters, found, strict=True) if c}
        return held_outputs(self.program, lambda t: self._read(arena, outside, t), all_tensors, counts)

    def _write(self, arena: Array, outside: dict[str, Array], tensor: Tensor, array: Array) -> None:
        place = self.places.get(tensor.name)
        if place is None:
            outside[tensor.name] = array
            return
        laid = array.transpose(place.order)
        stored = laid if place.kind == "f32" else laid.astype(np.int64) - place.bias
        self._view(arena, place)[...] = stored.astype(DTYPES[place.kind]).ravel()

    def _read(self, arena: Array, outside: dict[str, Array], tensor: Tensor) -> Array:
        place = self.places.get(tensor.name)
        if place is None:
            return outside[tensor.name]
        laid = self._view(arena, place).reshape([place.shape[a] for a in place.order]).transpose(np.argsort(place.order))
        held = formats.get(tensor.format).dtype
        return np.array(laid, order="C") if place.kind == "f32" else (laid.astype(np.int64, order="C") + place.bias).astype(held)

    def _view(self, arena: Array, place: Place) -> Array:
        return arena[place.offset : place.offset + place.bytes].view(DTYPES[place.kind])


def _aligned(size: int) -> Array:
    """Zeroed memory on a cache line."""
    memory = np.zeros(size + ALIGN, np.uint8)
    start = -memory.ctypes.data % ALIGN
    return memory[start : start + size]


def assemble(program: Program) -> Assembly:
    """Places for all tensors, then every step as kernel calls where its operator has them."""
    orders = _orders(program)
    places, size = _place_all(program, orders)
    steps = [s for layer in program.layers for s in layer.steps]
    counter_base = size
    scratch_base = counter_base + -(-8 * max(len(steps), 1) // ALIGN) * ALIGN
    desk = Desk(places, counter_base=counter_base, scratch_base=scratch_base)
    segments: list[Segment] = []
    for step in steps:
        before, desk.used = len(desk.calls), 0
        if not _emit(step, desk):
            del desk.calls[before:]
            _flush(desk, segments)
            segments.append(Segment(step=step))
    _flush(desk, segments)
    total = scratch_base + -(-desk.scratch // ALIGN) * ALIGN + ALIGN
    return Assembly(program, places, segments, desk.counters, counter_base, total, desk.constants)


def _emit(step: Step, desk: Desk) -> bool:
    """Whether kernels take the step."""
    module = load("ops", step.op)
    named = [t for t in (*step.inputs, *step.outputs) if t is not None and t.constant is None]
    if not step.integer or any(t.name not in desk.places for t in named):
        return False
    if hasattr(module, "kernel"):
        return bool(module.kernel(step, desk))
    return getattr(module, "MOVES", False) and emit_moves(step, desk, module.compute)


def _flush(desk: Desk, segments: list[Segment]) -> None:
    """Close the calls collected so far as one table."""
    if not desk.calls:
        return
    rows = np.empty((len(desk.calls), 2), np.int64)
    for i, (kernel, args) in enumerate(desk.calls):
        held = np.array(args, np.int64)
        desk.constants.append(held)
        rows[i] = address(kernel), held.ctypes.data
    segments.append(Segment(rows, np.array([len(rows), rows.ctypes.data], np.int64)))
    desk.calls.clear()


def _orders(program: Program) -> dict[str, tuple[int, ...]]:
    """The order of axes in memory: channels last for what spatial operators touch, and for what elementwise ones connect to it."""
    images: set[str] = set()
    steps = [s for layer in program.layers for s in layer.steps]
    for s in steps:
        if s.op in IMAGE_OPS:
            images |= {t.name for t in (*s.inputs[:1], *s.outputs) if t is not None and len(t.shape) > 2}
    for s in (*steps, *reversed(steps)):
        linked = [t for t in (*s.inputs, *s.outputs) if t is not None and t.constant is None and len(t.shape) > 2]
        if s.op in FOLLOWERS and any(t.name in images for t in linked):
            images |= {t.name for t in linked}
    return {t.name: (0, *range(2, len(t.shape)), 1) if t.name in images else tuple(range(len(t.shape))) for t in program.tensors.values()}


def _place_all(program: Program, orders: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Place], int]:
    """One after the other; every computed tensor keeps its place for the whole run."""
    places, offset = {}, 0
    for t in program.tensors.values():
        kept = storage_of(t) if t.constant is None else None
        if kept is not None and t.elements:
            places[t.name] = Place(offset, kept[0], kept[1], t.shape, orders[t.name])
            offset += -(-places[t.name].bytes // ALIGN) * ALIGN + ALIGN
    return places, offset
