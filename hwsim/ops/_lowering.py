"""The desk at which steps become kernel calls: where tensors lie, constants packed, calls collected.

Inside compiled code a tensor of up to 8 bits is one unsigned byte, stored = q - bias with bias the lowest number of its format, so
that signed and unsigned are the same to every kernel; up to 16 bits is a signed word.  Images are channels-last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from hwsim import formats
from hwsim.graph import Shape, Tensor
from hwsim.kernels import elementwise
from hwsim.kernels.compiling import Kernel
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["Desk", "Place", "Source", "merged_loops", "storage_of"]

ALIGN = 64
WIDTHS = {"u8": 1, "i16": 2, "i32": 4, "f32": 4, "i64": 8}
DTYPES = {"u8": np.uint8, "i16": np.int16, "i32": np.int32, "f32": np.float32, "i64": np.int64}


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the arena: byte offset, element type, bias of stored integers, and the order of its axes in memory."""

    offset: int
    kind: str
    bias: int
    shape: Shape
    order: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * WIDTHS[self.kind]

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each logical axis."""
        strides, step = [0] * len(self.shape), 1
        for axis in reversed(self.order):
            strides[axis] = step
            step *= self.shape[axis]
        return tuple(strides)

    @property
    def is_image(self) -> bool:
        return len(self.shape) > 2 and self.order[-1] == 1

    def positions(self) -> Array:
        """The element index in memory of every logical element, as an int32 array of the tensor's shape."""
        laid = np.arange(self.elements, dtype=np.int32).reshape([self.shape[a] for a in self.order])
        return laid.transpose(np.argsort(self.order))


def storage_of(tensor: Tensor) -> tuple[str, int] | None:
    """Element type and bias of a tensor in compiled code, None for what only NumPy handles."""
    fmt = formats.get(tensor.format)
    if fmt.name == "float32":
        return "f32", 0
    if not fmt.is_integer or fmt.bits > 32:
        return None
    if fmt.bits <= 8:
        return "u8", int(fmt.low)
    if fmt.bits <= 16:
        return "i16", 0 if fmt.is_signed else 32768
    return "i32", 0


@dataclass
class Desk:
    """Collects the calls of one program.  Ops ask it for places and constants and hand it calls."""

    places: Mapping[str, Place]
    constants: list[Array] = field(default_factory=list)
    calls: list[tuple[Kernel, list[int]]] = field(default_factory=list)
    scratch: int = 0
    used: int = 0
    counters: list[str] = field(default_factory=list)
    counter_base: int = 0
    scratch_base: int = 0

    def place(self, tensor: Tensor) -> Place:
        return self.places[tensor.name]

    def row_major(self, tensor: Tensor) -> Place:
        """Where the tensor lies in the order of its axes: its own place, or scratch memory to copy to or from."""
        own = self.place(tensor)
        natural = tuple(range(len(own.shape)))
        return own if own.order == natural else replace(own, offset=self.work(own.bytes), order=natural)

    def reorder(self, source: Place, target: Place) -> None:
        """Copy a tensor between two orders of its axes."""
        if source.offset == target.offset:
            return
        order = np.empty(target.elements, np.int32)
        order[target.positions().ravel()] = source.positions().ravel()
        self.call(
            Kernel(elementwise.move, (target.kind,)), [source.offset, target.offset, target.elements, self.keep(order), source.elements, 0]
        )

    def source(self, tensor: Tensor) -> Source:
        """A tensor as an operand, wherever it lives."""
        if tensor.constant is None:
            p = self.place(tensor)
            return Source(p.offset, False, p.shape, p.strides, p.bias, tensor)
        kind, bias = storage_of(tensor) or ("", 0)
        numbers = (tensor.constant.array.astype(np.int64) - bias).astype(DTYPES[kind])
        strides = tuple(s // numbers.itemsize for s in np.ascontiguousarray(numbers).strides)
        return Source(self.keep(numbers), True, tensor.shape, strides, bias, tensor)

    def keep(self, array: Array) -> int:
        """The address of a constant, which lives as long as the program."""
        held = np.ascontiguousarray(array)
        self.constants.append(held)
        return int(held.ctypes.data)

    def work(self, size: int) -> int:
        """The arena offset of scratch memory of at least `size` bytes, for the calls of one step."""
        start = self.used
        self.used += -(-size // ALIGN) * ALIGN
        self.scratch = max(self.scratch, self.used)
        return self.scratch_base + start

    def counter(self, step: Step) -> int:
        """The arena offset of the step's count of overflowed accumulations."""
        self.counters.append(step.name)
        return self.counter_base + 8 * (len(self.counters) - 1)

    def call(self, kernel: Kernel, args: Iterable[int]) -> None:
        self.calls.append((kernel, [int(a) for a in args]))


@dataclass(frozen=True)
class Source:
    """An operand that may be constant: an arena offset or an absolute address, its element strides, bias and format."""

    address: int
    absolute: bool
    shape: Shape
    strides: tuple[int, ...]
    bias: int
    tensor: Tensor

    def strides_to(self, shape: Shape) -> tuple[int, ...]:
        """Strides for walking over a larger shape: 0 where the operand repeats."""
        missing = len(shape) - len(self.shape)
        return tuple(0 if i < missing or self.shape[i - missing] == 1 else self.strides[i - missing] for i in range(len(shape)))

    def numbers(self) -> Array:
        """The stored number behind each of the 256 bytes; bytes that cannot occur repeat the nearest."""
        fmt = formats.get(self.tensor.format)
        return np.clip(np.arange(256) + self.bias, int(fmt.low), int(fmt.high))


def merged_loops(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Loops (size, strides ...) ordered from the largest last stride to the smallest, with neighbours joined where all operands allow."""
    ordered = sorted((d for d in dims if d[0] > 1), key=lambda d: -d[-1])
    joined: list[tuple[int, ...]] = []
    for d in ordered:
        if joined and all(o == d[0] * i for o, i in zip(joined[-1][1:], d[1:], strict=True)):
            joined[-1] = (joined[-1][0] * d[0], *d[1:])
        else:
            joined.append(d)
    return joined or [(1, *[0] * (len(dims[0]) - 1 if dims else 3))]
