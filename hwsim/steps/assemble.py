"""A Program compiled to a table of kernel calls on one arena; what no kernel does is left to NumPy, in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim import formats
from hwsim.graph import Tensor
from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.halo import HALO_ARGS, halo
from hwsim.kernels.packing import aligned
from hwsim.kernels.table import run_table
from hwsim.ops._lowering import ALIGN, DTYPES, Desk, Place
from hwsim.ops._tables import emit_moves
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.shelf import load
from hwsim.steps.arena import plan_arena
from hwsim.steps.execute import Execution, check_feeds, held_outputs, run_step

__all__ = ["Assembly", "assemble"]


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
    arenas: list[Array] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array], all_tensors: bool = False) -> Execution:
        """Execute once.  Each call uses an arena of its own, so that threads can share an assembly."""
        arena = self.arenas.pop() if self.arenas else aligned(self.size)
        try:
            return self._run(arena, feeds, all_tensors)
        finally:
            self.arenas.append(arena)

    def _run(self, arena: Array, feeds: Mapping[str, Array], all_tensors: bool) -> Execution:
        found = arena[self.counter_base : self.counter_base + 8 * len(self.counters)].view(np.int64)
        found[:] = 0
        outside: dict[str, Array] = {}
        for name, array in check_feeds(self.program, feeds).items():
            self._write(arena, outside, self.program.tensors[name], array)
        counts: dict[str, int] = {}
        for segment in self.segments:
            if segment.step is None:
                assert segment.head is not None
                call(address(Kernel(run_table)), int(segment.head.ctypes.data), int(arena.ctypes.data))
            else:
                counts |= self._by_numpy(arena, outside, segment.step)
        counts |= {n: int(c) for n, c in zip(self.counters, found, strict=True) if c}
        return held_outputs(self.program, lambda t: self._read(arena, outside, t), all_tensors, counts)

    def _by_numpy(self, arena: Array, outside: dict[str, Array], step: Step) -> dict[str, int]:
        """One step in NumPy, and its overflowed accumulations."""
        operands = [
            None if t is None else t.constant.array if t.constant is not None else self._read(arena, outside, t) for t in step.inputs
        ]
        arrays, over = run_step(step, operands)
        for t, a in zip(step.outputs, arrays, strict=True):
            self._write(arena, outside, t, a)
        return {step.name: over} if over else {}

    def _write(self, arena: Array, outside: dict[str, Array], tensor: Tensor, array: Array) -> None:
        place = self.places.get(tensor.name)
        if place is None:
            outside[tensor.name] = array
            return
        stored = array if place.kind == "f32" else array.astype(np.int64) - place.bias
        place.view(arena)[...] = stored.astype(DTYPES[place.kind], copy=False)

    def _read(self, arena: Array, outside: dict[str, Array], tensor: Tensor) -> Array:
        place = self.places.get(tensor.name)
        if place is None:
            return outside[tensor.name]
        laid = place.view(arena)
        held = formats.get(tensor.format).dtype
        return np.array(laid, order="C") if place.kind == "f32" else (laid.astype(np.int64, order="C") + place.bias).astype(held)


def assemble(program: Program, all_tensors: bool = False) -> Assembly:
    """Places for all tensors, then every step as kernel calls where its operator has them.

    A tensor's memory is used again once nothing reads it, unless `all_tensors` are wanted.
    """
    steps = [s for layer in program.layers for s in layer.steps]
    places, counter_base = plan_arena(program, steps, all_tensors)
    scratch_base = counter_base + -(-8 * max(len(steps), 1) // ALIGN) * ALIGN
    desk = Desk(places, counter_base=counter_base, scratch_base=scratch_base)
    segments: list[Segment] = []
    for name in program.graph.inputs:
        _emit_halo(program.tensors[name], desk)
    for step in steps:
        for t in step.outputs:
            _emit_halo(t, desk)
        before, desk.used = len(desk.calls), 0
        if not _emit(step, desk):
            del desk.calls[before:]
            _flush(desk, segments)
            segments.append(Segment(step=step))
    _flush(desk, segments)
    total = scratch_base + -(-desk.scratch // ALIGN) * ALIGN + ALIGN
    return Assembly(replace(program), places, segments, desk.counters, counter_base, total, desk.constants)


def _emit(step: Step, desk: Desk) -> bool:
    """Whether kernels take the step."""
    module = load("ops", step.op)
    named = [t for t in (*step.inputs, *step.outputs) if t is not None and t.constant is None]
    if not step.integer or any(t.name not in desk.places for t in named):
        return False
    if hasattr(module, "kernel"):
        return bool(module.kernel(step, desk))
    return getattr(module, "MOVES", False) and emit_moves(step, desk, module.compute)


def _emit_halo(tensor: Tensor, desk: Desk) -> None:
    """Zero points around an image, before it is written."""
    place = desk.places.get(tensor.name)
    if place is None or not any(map(any, place.halo)) or tensor.quant is None:
        return
    (above, below), (left, right) = ((0, 0), *place.halo[2:])[-2:]
    image, pixel = place.strides[0], place.strides[-1]
    args = {"start": place.start, "images": place.shape[0], "image": image, "row": place.held[-1] * pixel}
    args |= {"rows": ((1, *place.held[2:])[-2]), "above": above, "below": below}
    args |= {"left": left * pixel, "right": right * pixel, "inside": place.shape[-1] * pixel}
    args |= {"value": int(tensor.quant.zero_point) - place.bias}
    desk.call_named(Kernel(halo, (place.kind,)), HALO_ARGS, args)


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
