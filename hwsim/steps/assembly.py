"""A compiled program at work: tables of kernel calls on an arena, with steps that no kernel does left to NumPy in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Shape, Tensor
from hwsim.kernels.memory import Memory
from hwsim.ops._lowering import DTYPES, WIDTHS, Place
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.steps.execute import Execution, check_feeds, held_outputs, run_step

__all__ = ["Assembly", "Segment"]

EXACT = ("float32", "uint8", "int8")  # formats of which any array of their dtype is one
PAGE, BEHIND = 4096, 256  # bytes: the least that an address is valid for as a whole, what four vectors of float32 take


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
        self.held: dict[str, Held | None] = {}
        self.outside: dict[str, Array] = {}

    def place(self, tensor: Tensor) -> Held | None:
        """Where the arena holds a tensor, None when it does not."""
        if tensor.name not in self.held:
            place = self.places.get(tensor.name)
            self.held[tensor.name] = None if place is None else Held.of(place, self.arena, np.dtype(formats.get(tensor.format).dtype))
        return self.held[tensor.name]

    def write(self, tensor: Tensor, array: Array) -> None:
        """Numbers as the kernels hold them: modulo the width of memory, less the bias."""
        held = self.place(tensor)
        if held is None:
            self.outside[tensor.name] = array
        elif held.borrowed:
            self.outside[tensor.name] = lent = _readable(array)
            held.view[0] = _address(lent)
        elif held.bias is None:
            np.copyto(held.view, array, casting="unsafe")
        else:
            np.subtract(_as(array, held.view.dtype), held.bias, out=held.view)

    def read(self, tensor: Tensor) -> Array:
        """A copy of a tensor's numbers."""
        held = self.place(tensor)
        if held is None or held.borrowed:
            return self.outside[tensor.name]
        if held.bias is None:
            return held.view.astype(held.dtype, order="C")
        return _as(np.add(held.view, held.bias, order="C"), held.dtype)


@dataclass(frozen=True)
class Held:
    """A tensor in the arena: a view (of its address, where it is borrowed), its bias there (None: none), the dtype that it has outside."""

    view: Array
    bias: Array | None
    dtype: np.dtype[Any]
    borrowed: bool

    @staticmethod
    def of(place: Place, arena: Array, dtype: np.dtype[Any]) -> Held:
        inside = DTYPES[place.kind]
        view = arena[place.offset :][: WIDTHS["i64"]].view(np.int64) if place.borrowed else place.view(arena)
        bias = None if place.kind == "f32" or place.bias == 0 else np.asarray(place.bias).astype(inside)
        return Held(view, bias, dtype, place.borrowed)


def _as(array: Array, dtype: np.dtype[Any]) -> Array:
    """Whole numbers modulo the width of another type."""
    return array.view(dtype) if array.dtype.kind in "iu" and array.itemsize == dtype.itemsize else array.astype(dtype)


def _address(array: Array) -> int:
    """Sooner found than by `array.ctypes`."""
    return int(array.__array_interface__["data"][0])


def _readable(array: Array) -> Array:
    """Numbers side by side in memory that vectors may read a little behind its end: the array itself unless a page ends there."""
    held = np.ascontiguousarray(array)
    if -(_address(held) + held.nbytes) % PAGE >= BEHIND:
        return held
    copied = np.empty(held.size + BEHIND, held.dtype)[: held.size].reshape(held.shape)
    copied[...] = held
    return copied


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
        if self.counters:
            space.counts[:] = 0
        for name, array in self._checked(feeds).items():
            space.write(self.program.tensors[name], array)
        counts: dict[str, int] = {}
        for segment in self.segments:
            if segment.run is not None:
                segment.run(segment.head, space.base)
            elif segment.step is not None:
                counts |= _by_numpy(space, segment.step)
        if self.counters:
            counts |= {n: int(c) for n, c in zip(self.counters, space.counts, strict=True) if c}
        return held_outputs(self.program, space.read, all_tensors, counts)

    @cached_property
    def _as_given(self) -> dict[str, tuple[Shape, np.dtype[Any]]]:
        """Shape and dtype in which hwsim holds the inputs: arrays that have them are taken as they are."""
        inputs = (self.program.tensors[n] for n in self.program.graph.inputs)
        return {t.name: (t.shape, np.dtype(formats.get(t.format).dtype)) for t in inputs if formats.get(t.format).name in EXACT}

    def _checked(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """`check_feeds`, by one look where nothing is to be done: after another program's work every line of Python is slow."""
        known = self._as_given
        same = len(feeds) == len(self.program.graph.inputs)
        same = same and all(isinstance(a, np.ndarray) and known.get(n) == (a.shape, a.dtype) for n, a in feeds.items())
        return feeds if same else check_feeds(self.program, feeds)


def _by_numpy(space: Workspace, step: Step) -> dict[str, int]:
    """One step in NumPy, and its overflowed accumulations."""
    operands = [None if t is None else t.constant.array if t.constant is not None else space.read(t) for t in step.inputs]
    arrays, over = run_step(step, operands)
    for t, a in zip(step.outputs, arrays, strict=True):
        space.write(t, a)
    return {step.name: over} if over else {}
