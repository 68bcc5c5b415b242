"""A convolution or matrix product as its kernels see it, and the way out of its accumulators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from hwsim.kernels.compiling import Kernel, address
from hwsim.kernels.finishing import WAY_ARGS, Way, finish, packs
from hwsim.ops._lowering import DTYPES, WIDTHS, Desk, Place
from hwsim.ops._mac import Epilogue, epilogue
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["Axis", "Mac", "Phase", "Plane", "finishing_of", "plane_of", "rows_of", "way_out"]

MOST_LANES = 16  # of any processor: what a vector may read behind the last channel


@dataclass(frozen=True)
class Plane:
    """A tensor as images of rows of pixels whose channels lie side by side, `column`, `row` and `image` bytes apart; with its halo it
    takes `bytes` from `start` on."""

    offset: int
    kind: str
    bias: int
    images: int
    rows: int
    columns: int
    channels: int
    image: int
    row: int
    column: int
    start: int
    bytes: int

    @property
    def size(self) -> int:
        return WIDTHS[self.kind]


def plane_of(place: Place) -> Plane:
    """Of a channels-last tensor of one or two spatial dimensions."""
    n, c, *size = place.shape
    image, _, *steps = place.byte_strides
    rows, columns = (1, *size)[-2:]
    return Plane(place.offset, place.kind, place.bias, n, rows, columns, c, image, (image, *steps)[-2], steps[-1], place.start, place.bytes)


def rows_of(place: Place) -> Plane:
    """Of a matrix, or a stack of them, that lies in the order of its axes: one row of pixels."""
    depth, size = place.shape[-1], WIDTHS[place.kind]
    rows = place.elements // depth
    whole = rows * depth * size
    return Plane(place.offset, place.kind, place.bias, 1, 1, rows, depth, whole, whole, depth * size, place.offset, whole)


@dataclass(frozen=True)
class Axis:
    """One axis of a sliding window: output o meets kernel cell k at input (o stride + k dilation - pad) / up, where that is whole."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0
    up: int = 1

    def phases(self, out: int) -> list[Phase]:
        """The outputs that meet the same kernel cells: one phase, or `up` of them in a transposed convolution (stride 1)."""
        assert self.up == 1 or self.stride == 1
        found = []
        for p in range(min(self.up, out)):
            shifted = [(k, p + k * self.dilation - self.pad) for k in range(self.kernel)]
            taps = tuple((k, s // self.up) for k, s in shifted if s % self.up == 0)
            found.append(Phase(p, self.up, -(-(out - p) // self.up), self.stride, taps))
        return found

    def halo(self, size: int, out: int) -> tuple[int, int]:
        """How many cells before and after the input the window reaches."""
        reached = [(s, (p.count - 1) * p.stride + s) for p in self.phases(out) for _, s in p.taps]
        low, high = min((a for a, _ in reached), default=0), max((b for _, b in reached), default=0)
        return max(-low, 0), max(high - size + 1, 0)


@dataclass(frozen=True)
class Phase:
    """Outputs first, first + every, ... (`count` of them): the i-th meets kernel cell k at input i stride + shift, for each (k, shift)."""

    first: int
    every: int
    count: int
    stride: int
    taps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Mac:
    """One convolution: stored `weights` (groups, outputs, kernel rows, columns, channels of a group), an axis of the window for rows
    and one for columns, input and output."""

    step: Step
    weights: Array
    rows: Axis
    columns: Axis
    x: Plane
    y: Plane

    @property
    def groups(self) -> int:
        return len(self.weights)

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return int(self.weights.shape[1])

    @cached_property
    def epilogue(self) -> Epilogue:
        return epilogue(self.step, self.groups * self.outputs)

    @cached_property
    def x_zero(self) -> int:
        """The zero point of the input, as a stored number of the format (not of memory: that is x_zero - x.bias)."""
        x = self.step.inputs[0]
        assert x is not None and x.quant is not None
        return int(x.quant.zero_point)

    @cached_property
    def w_zero(self) -> Array:
        """One zero point per output channel."""
        w = self.step.inputs[1]
        assert w is not None and w.quant is not None
        return np.broadcast_to(w.quant.zero_point, self.groups * self.outputs).astype(np.int64)

    @cached_property
    def removed(self) -> Array:
        """The weights with their zero points removed: of the file's own type where these are 0."""
        if not self.w_zero.any():
            return self.weights
        wide = np.dtype(np.int16 if self.weights.itemsize == 1 else np.int32)
        found: Array = self.weights.astype(wide) - self.w_zero.astype(wide).reshape(self.groups, self.outputs, 1, 1, 1)
        return found

    @cached_property
    def signed(self) -> tuple[Array, Array]:
        """The weights of a file's 8-bit type as signed bytes with their zero points in them, and what each output's are too large by."""
        lift = 128 if self.weights.dtype == np.uint8 else 0
        return (self.weights.view(np.uint8) ^ np.uint8(lift)).view(np.int8), self.w_zero - lift

    @cached_property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest of `removed`, 0 among them."""
        return int(self.removed.min(initial=0)), int(self.removed.max(initial=0))

    def within(self, low: int, high: int) -> bool:
        """Whether all weights without their zero points are in a range."""
        return low <= self.ends[0] and self.ends[1] <= high

    @cached_property
    def magnitudes(self) -> Array:
        """The sum of each output's weights without their signs and zero points, in float64."""
        wide = np.abs(self.removed, dtype=np.int16 if self.removed.itemsize == 1 else np.int64)
        return wide.sum((2, 3, 4), dtype=np.int64).ravel().astype(np.float64)

    def exact_in(self, bits: int) -> bool:
        """Whether no partial sum in any order can leave `bits` bits: the sum of all magnitudes stays inside."""
        low, high = (self.x.bias, self.x.bias + 255) if self.x.kind == "u8" else (self.x.bias - 32768, self.x.bias + 32767)
        most, bias = max(high - self.x_zero, self.x_zero - low), np.abs(self.epilogue.bias)
        depth = int(np.prod(self.weights.shape[2:]))
        if depth * max(-self.ends[0], self.ends[1]) * most + float(bias.max(initial=0)) < 2.0 ** (bits - 1):
            return True
        return bool(np.all(self.magnitudes * most + bias < 2.0 ** (bits - 1)))

    def phases(self) -> list[tuple[Phase, Phase]]:
        return list(product(self.rows.phases(self.y.rows), self.columns.phases(self.y.columns)))


def way_out(desk: Desk, e: Epilogue, kind: str, bias: int, width: int) -> tuple[Way, dict[str, int]]:
    """The way out of an epilogue to stored numbers q - bias of an element kind, and its arguments.

    Parameters are kept to whole panels of `width` output channels.
    """
    kinds = ("f32", "f32") if e.real else e.arithmetic.PARAMETERS
    rescale = _rescale(e, kind, bias)
    bytes_ = {"shifted": e.zero_point != bias, "limited": (e.low, e.high) != (bias, bias + 255)} if rescale else {}
    way = Way(None if e.real else e.arithmetic.requantize, kinds, kind, rescale, **bytes_)
    args = {"zero_point": e.zero_point, "low": e.low, "high": e.high, "y_bias": 0 if e.real else bias}
    for i, (kind, values) in enumerate(zip(kinds, e.parameters, strict=True)):
        held = np.zeros(-(-len(values) // width) * width + MOST_LANES, DTYPES[kind])
        held[: len(values)] = values
        args[f"p{i}"] = desk.keep(held)
    return way, args


def _rescale(e: Epilogue, kind: str, bias: int) -> Callable[..., Any] | None:
    """The arithmetic's number before zero point and limits, where the way out may saturate it to bytes."""
    own = None if e.real else getattr(e.arithmetic, "RESCALE", None)
    bytes_ = kind == "u8" and all(0 <= v - bias <= 255 for v in (e.zero_point, e.low, e.high))
    if own is None or not bytes_ or not packs():
        return None
    function, holds = own
    return function if holds(e.parameters) else None


def finishing_of(desk: Desk, e: Epilogue, y: Plane, sums: str) -> dict[str, int]:
    """The finishing kernel of an epilogue and its arguments, as addresses."""
    way, args = way_out(desk, e, y.kind, y.bias, MOST_LANES)
    held = np.array([args.get(n, 0) for n in WAY_ARGS], np.int64)
    return {"finish": address(Kernel(finish, (way, sums), 5)), "finish_args": desk.keep(held)}
