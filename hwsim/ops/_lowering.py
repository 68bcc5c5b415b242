"""The desk at which steps become kernel calls: where tensors lie, constants packed, calls collected.

Inside compiled code a tensor of up to 8 bits is one unsigned byte, stored = q - bias with bias the lowest number of its format, so
that signed and unsigned are the same to every kernel; up to 16 bits is a signed word.  Images are channels-last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Shape, Tensor
from hwsim.kernels import moving
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.halo import HALO_ARGS, halo
from hwsim.kernels.memory import ALIGN, Memory
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["ALIGN", "Desk", "Place", "Source", "float_bits", "merged_loops", "real_constant", "storage_of"]

SHORT = 16  # elements side by side that are too few for a loop of vectors
SHARED = 1 << 16  # constants up to this many bytes are looked for among those kept
WIDTHS = {"u8": 1, "i16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
DTYPES = {"u8": np.uint8, "i16": np.int16, "i32": np.int32, "f32": np.float32, "i64": np.int64, "f64": np.float64}


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the arena: byte offset of its first element, element type, bias of stored integers, the order of its
    axes in memory, and its halo: cells before and after along each logical axis, which hold the zero point.  A borrowed tensor stays with
    the caller: `offset` is where its address lies."""

    offset: int
    kind: str
    bias: int
    shape: Shape
    order: tuple[int, ...]
    halo: tuple[tuple[int, int], ...] = ()
    borrowed: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def held(self) -> Shape:
        """Sizes along the logical axes, halo included."""
        return tuple(n + a + b for n, (a, b) in zip(self.shape, self.halo, strict=True)) if self.halo else self.shape

    @property
    def bytes(self) -> int:
        return WIDTHS["i64"] if self.borrowed else prod(self.held) * WIDTHS[self.kind]

    @property
    def start(self) -> int:
        """The byte offset of the first cell of the halo."""
        before = sum(a * s for (a, _), s in zip(self.halo, self.strides, strict=False))
        return self.offset - before * WIDTHS[self.kind]

    def at(self, start: int) -> Place:
        """The same tensor in memory that begins at `start`."""
        return replace(self, offset=start + self.offset - self.start)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each logical axis."""
        strides, step = [0] * len(self.shape), 1
        for axis in reversed(self.order):
            strides[axis] = step
            step *= self.held[axis]
        return tuple(strides)

    @property
    def byte_strides(self) -> tuple[int, ...]:
        return tuple(s * WIDTHS[self.kind] for s in self.strides)

    def view(self, arena: Array) -> Array:
        """The tensor in its logical shape, as a view of the arena."""
        flat = arena[self.offset :].view(DTYPES[self.kind]) if self.elements else np.zeros(0, DTYPES[self.kind])
        return np.lib.stride_tricks.as_strided(flat, self.shape, self.byte_strides)

    def positions(self) -> Array:
        """The element index in memory of every logical element, as an int32 array of the tensor's shape."""
        grid = np.zeros(self.shape, np.int32)
        for axis, stride in enumerate(self.strides):
            grid += (np.arange(self.shape[axis], dtype=np.int32) * stride).reshape([-1 if i == axis else 1 for i in range(grid.ndim)])
        return grid


def real_constant(tensor: Tensor) -> Array:
    """The real numbers of a constant, in float32."""
    assert tensor.constant is not None
    held = tensor.constant.array
    return held.astype(np.float32) if tensor.quant is None else tensor.quant.dequantize(held)


def storage_of(tensor: Tensor) -> tuple[str, int] | None:
    """Element type and bias of a tensor in compiled code, None for what only NumPy handles."""
    fmt = formats.get(tensor.format)
    if fmt.name == "float32":
        return "f32", 0
    if fmt.name == "int64":
        return "i64", 0
    if not fmt.is_integer or fmt.bits > 32:
        return None
    if fmt.bits <= 8:
        return "u8", int(fmt.low)
    if fmt.bits <= 16:
        return "i16", 0 if fmt.is_signed else 32768
    return "i32", 0


@dataclass(frozen=True)
class Source:
    """An operand of a walk: an address or an arena offset (`base` says which, or that the offset is of its address), element kind,
    strides in bytes along the logical axes, bias."""

    address: int
    base: int
    kind: str
    shape: Shape
    strides: tuple[int, ...]
    bias: int
    tensor: Tensor | None = None

    def strides_to(self, shape: Shape) -> tuple[int, ...]:
        """Strides for walking over a larger shape: 0 where the operand repeats."""
        missing = len(shape) - len(self.shape)
        return tuple(0 if i < missing or self.shape[i - missing] == 1 else self.strides[i - missing] for i in range(len(shape)))

    def reshaped(self, shape: Shape, strides: tuple[int, ...]) -> Source:
        return replace(self, shape=shape, strides=strides)

    def moved(self, bytes_: int) -> Source:
        """The same that begins so many bytes further, of one that is not borrowed."""
        return replace(self, address=self.address + bytes_)

    def numbers(self) -> Array:
        """The stored number behind each of the 256 bytes; bytes that cannot occur repeat the nearest."""
        assert self.tensor is not None
        fmt = formats.get(self.tensor.format)
        return np.clip(np.arange(256) + self.bias, int(fmt.low), int(fmt.high))


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
    known: dict[bytes, int] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def place(self, tensor: Tensor) -> Place:
        return self.places[tensor.name]

    def row_major(self, tensor: Tensor, order: Sequence[int] | None = None) -> Place:
        """Where the tensor lies in an order of its axes (as they are), without a halo: its own place, or scratch memory to copy to or
        from."""
        own = self.place(tensor)
        plain = replace(own, order=tuple(range(len(own.shape)) if order is None else order), halo=())
        same = all(a == b for a, b, n in zip(own.strides, plain.strides, own.shape, strict=True) if n > 1)
        return own if same else replace(plain, offset=self.work(plain.bytes))

    def plain(self, place: Place) -> Place:
        """Where a tensor lies without a halo: its own place, or scratch memory to copy to or from."""
        return replace(place, halo=(), offset=self.work(place.bytes)) if place.strides != replace(place, halo=()).strides else place

    def reorder(self, source: Place, target: Place) -> None:
        """Copy a tensor between two places."""
        if source.offset != target.offset:
            assert self.walk(moving.copy, source.shape, [self.operand(source)], self.operand(target))

    def surround(self, place: Place, zero: int) -> None:
        """Zero points in the halo of an image."""
        (above, below), (left, right) = ((0, 0), *place.halo[2:])[-2:]
        pixel, row = place.strides[-1], place.held[-1] * place.strides[-1]
        args = {"start": place.start, "images": place.shape[0], "image": place.strides[0], "row": row, "rows": (1, *place.shape[2:])[-2]}
        args |= {"head": above * row + left * pixel, "gap": (right + left) * pixel, "tail": right * pixel + below * row}
        args["value"] = zero - place.bias
        self.call_named(Kernel(halo, (place.kind,)), HALO_ARGS, args)

    def surrounded(self, place: Place, wanted: tuple[tuple[int, int], ...], zero: int) -> Place:
        """An image with a halo of zero points: itself where none is wanted, else a copy in scratch memory."""
        if not any(map(any, wanted)):
            return place
        grown = replace(place, halo=wanted)
        copied = grown.at(self.work(grown.bytes))
        self.surround(copied, zero)
        self.reorder(place, copied)
        return copied

    def operand(self, place: Place) -> Source:
        return Source(
            place.offset, moving.AT_ADDRESS if place.borrowed else moving.IN_ARENA, place.kind, place.shape, place.byte_strides, place.bias
        )

    def source(self, tensor: Tensor) -> Source:
        """A tensor as an operand, wherever it lives."""
        if tensor.constant is None:
            return replace(self.operand(self.place(tensor)), tensor=tensor)
        kind, bias = storage_of(tensor) or ("", 0)
        return self.numbers((tensor.constant.array.astype(np.int64) - bias).astype(DTYPES[kind]), kind, bias, tensor)

    def real(self, tensor: Tensor) -> Source:
        """A float32 tensor as an operand; of a constant its real numbers."""
        return self.source(tensor) if tensor.constant is None else self.numbers(real_constant(tensor))

    def numbers(self, array: Array, kind: str = "f32", bias: int = 0, tensor: Tensor | None = None) -> Source:
        """Constant numbers, in memory less the bias, as an operand."""
        held = np.ascontiguousarray(array, DTYPES[kind])
        shape = held.shape if tensor is None else tensor.shape
        return Source(self.keep(np.pad(held.ravel(), (0, ALIGN))), moving.ABSOLUTE, kind, shape, held.strides, bias, tensor)

    def keep(self, array: Array) -> int:
        """The address of a constant, which lives as long as the program; equal ones are kept once, small ones side by side."""
        held = np.ascontiguousarray(array)
        if held.nbytes > SHARED:
            self.constants.append(held)
            return int(held.ctypes.data)
        key = held.tobytes()
        if key not in self.known:
            self.constants.append(held if self.memory.holds(held) else self.memory.copy(held))
            self.known[key] = int(self.constants[-1].ctypes.data)
        return self.known[key]

    def work(self, size: int) -> int:
        """The arena offset of scratch memory of at least `size` bytes, for the calls of one step."""
        start = self.used
        self.used += -(-size // ALIGN) * ALIGN + ALIGN
        self.scratch = max(self.scratch, self.used)
        return self.scratch_base + start

    def counter(self, step: Step) -> int:
        """The arena offset of the step's count of overflowed accumulations."""
        self.counters.append(step.name)
        return self.counter_base + 8 * (len(self.counters) - 1)

    def call(self, kernel: Kernel, args: Iterable[int]) -> None:
        self.calls.append((kernel, [int(a) for a in args]))

    def call_named(self, kernel: Kernel, names: Sequence[str], args: Mapping[str, int]) -> None:
        """A call whose kernel names its arguments; those not given are 0."""
        assert set(args) <= set(names), f"{set(args) - set(names)} must be among {names}"
        self.call(kernel, [args.get(n, 0) for n in names])

    def walk(self, factory: Callable[..., str], shape: Shape, inputs: Sequence[Source], y: Source, *params: Any, **more: int) -> bool:
        """A kernel of `moving` over all elements of a shape; False when operands move in too many ways for it."""
        operands, shape = (*inputs, y), shape or (1,)
        loops = merged_loops(list(zip(shape, *(o.strides_to(shape) for o in operands), strict=True)))
        if len(loops) > moving.DIMS:
            return False
        names = [*"abcd"[: len(inputs)], "y"]
        args: dict[str, int] = dict(more)
        for name, o in zip(names, operands, strict=True):
            args |= {name: o.address, f"{name}_absolute": o.base}
        dims = [(1, *[0] * len(operands))] * (moving.DIMS - len(loops)) + _inputs_inside(loops, inputs)
        for d, (size, *strides) in enumerate(dims):
            args |= {f"size{d}": size, **{f"{n}{d}": st for n, st in zip(names, strides, strict=True)}}
        moves = [{WIDTHS[o.kind]: "next", 0: "same"}.get(st, "far") for o, st in zip(operands, dims[-1][1:], strict=True)]
        kinds = [moving.Operand(n, o.kind, m) for n, o, m in zip(names, operands, moves, strict=True)]
        kinds[-1] = replace(kinds[-1], planes=_planes(dims, WIDTHS[y.kind]))
        self.call_named(Kernel(factory, (*kinds, *params)), (*moving.walk_args(names), *more), args)
        return True


def _planes(dims: Sequence[tuple[int, ...]], width: int) -> int:
    """How many neighbours along the last dimension but one the output, the last operand, holds side by side (1: none, or too many)."""
    (many, *outer), (_, *inner) = dims[-2:]
    return many if 2 <= many <= 4 and outer[-1] == width and inner[-1] == many * width else 1


def float_bits(value: Any) -> int:
    """A float32 number as the bits that a kernel's argument holds."""
    return int(np.asarray(value, np.float32).view(np.int32))


def _inputs_inside(loops: list[tuple[int, ...]], inputs: Sequence[Source]) -> list[tuple[int, ...]]:
    """The longest loop in which every input lies side by side or stays, made the innermost where the innermost is short."""

    def runs(loop: tuple[int, ...]) -> bool:
        return all(st in (0, WIDTHS[o.kind]) for o, st in zip(inputs, loop[1:], strict=False))

    best = max(filter(runs, loops), key=lambda d: d[0], default=loops[-1])
    return [d for d in loops if d is not best] + [best] if best[0] > SHORT >= loops[-1][0] else loops


def merged_loops(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Loops (size, strides ...) ordered from the largest last stride to the smallest, with neighbours joined where all operands allow."""
    ordered = sorted((d for d in dims if d[0] > 1), key=lambda d: -d[-1])
    joined: list[tuple[int, ...]] = []
    for d in ordered:
        if joined and all(o == d[0] * i for o, i in zip(joined[-1][1:], d[1:], strict=True)):
            joined[-1] = (joined[-1][0] * d[0], *d[1:])
        else:
            joined.append(d)
    return joined or [(1, *[0] * (len(dims[0]) - 1))]
