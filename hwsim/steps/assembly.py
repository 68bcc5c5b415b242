"""A compiled program at work: tables of kernel calls on an arena, with steps that no kernel does left to NumPy in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hwsim import formats
from hwsim.graph import Tensor
from hwsim.kernels.memory import Memory
from hwsim.ops._lowering import DTYPES, Place
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.steps.execute import Execution, check_feeds, held_outputs, run_step

__all__ = ["Assembly", "Segment"]


@dataclass(frozen=True)
class Segment:
    """Calls in a row (the function that makes them and its argument), or one step for NumPy."""

    run: Callable[[int, int], None] | None = None
    head: int = 0
    step: Step | None = None


class Workspace:
    """The memory of one run: the arena, views of its tensors, and what only NumPy holds."""

    def __init__(self, assembly: Assembly) -> None:
        self.places = assembly.places
        self.arena = Memory().take(assembly.size)
        self.base = int(self.arena.ctypes.data)
        self.counts = self.arena[assembly.counter_base :][: 8 * len(assembly.counters)].view(np.int64)
        self.views: dict[str, Array] = {}
        self.outside: dict[str, Array] = {}

    def view(self, name: str, place: Place) -> Array:
        if name not in self.views:
            self.views[name] = place.view(self.arena)
        return self.views[name]

    def write(self, tensor: Tensor, array: Array) -> None:
        """Numbers as the kernels hold them: modulo the width of memory, less the bias."""
        place = self.places.get(tensor.name)
        if place is None:
            self.outside[tensor.name] = array
            return
        view, dtype = self.view(tensor.name, place), DTYPES[place.kind]
        if place.kind == "f32" or place.bias == 0:
            np.copyto(view, array, casting="unsafe")
        else:
            np.subtract(array.astype(dtype), np.asarray(place.bias).astype(dtype), out=view)

    def read(self, tensor: Tensor) -> Array:
        """A copy of a tensor's numbers."""
        place = self.places.get(tensor.name)
        if place is None:
            return self.outside[tensor.name]
        view, held = self.view(tensor.name, place), formats.get(tensor.format).dtype
        if place.kind == "f32" or place.bias == 0:
            return view.astype(held, order="C")
        return np.add(view, np.asarray(place.bias).astype(view.dtype), order="C").astype(held)


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
    idle: list[Workspace] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array], all_tensors: bool = False) -> Execution:
        """Execute once.  Each call has a workspace of its own, so that threads can share an assembly."""
        space = self.idle.pop() if self.idle else Workspace(self)
        try:
            return self._run(space, feeds, all_tensors)
        finally:
            space.outside.clear()
            self.idle.append(space)

    def _run(self, space: Workspace, feeds: Mapping[str, Array], all_tensors: bool) -> Execution:
        space.counts[:] = 0
        for name, array in check_feeds(self.program, feeds).items():
            space.write(self.program.tensors[name], array)
        counts: dict[str, int] = {}
        for segment in self.segments:
            if segment.run is not None:
                segment.run(segment.head, space.base)
            elif segment.step is not None:
                counts |= _by_numpy(space, segment.step)
        counts |= {n: int(c) for n, c in zip(self.counters, space.counts, strict=True) if c}
        return held_outputs(self.program, space.read, all_tensors, counts)


def _by_numpy(space: Workspace, step: Step) -> dict[str, int]:
    """One step in NumPy, and its overflowed accumulations."""
    operands = [None if t is None else t.constant.array if t.constant is not None else space.read(t) for t in step.inputs]
    arrays, over = run_step(step, operands)
    for t, a in zip(step.outputs, arrays, strict=True):
        space.write(t, a)
    return {step.name: over} if over else {}
