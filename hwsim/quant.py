"""Number formats and quantization parameters: how stored numbers stand for real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Format", "QuantParams"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Format:
    """One number format.

    Arrays hold the numbers on the format's grid (integers for integer grids, float32 for the others), not bit patterns:
    `encode` and `decode` go to bit patterns and back.  `nearest(values, saturate)` rounds real numbers to the grid.
    """

    name: str
    bits: int
    low: float
    high: float
    dtype: str
    nearest: Callable[[Array, bool], Array] = field(repr=False, compare=False)
    encode: Callable[[Array], Array] = field(repr=False, compare=False)
    decode: Callable[[Array], Array] = field(repr=False, compare=False)

    @property
    def is_integer(self) -> bool:
        """Whether the grid is made of integers, so that products and sums are exact."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def is_signed(self) -> bool:
        return self.low < 0

    def round(self, values: Array, saturate: bool = True) -> Array:
        """The nearest grid points (ties to even), held in `dtype`; out of range saturates, or gives inf or NaN."""
        return self.nearest(np.asarray(values), saturate).astype(self.dtype)


@dataclass(frozen=True, eq=False)
class QuantParams:
    """real = scale * (q - zero_point), with one scale per tensor, per channel of `axis`, or per block along `axis`.

    `scale` and `zero_point` have the same shape: () per tensor, (channels,) per channel, or the tensor's shape with `axis`
    divided by `block_size` (rounded up).  `qmin` and `qmax` bound the stored numbers and may be narrower than the format.
    """

    format: Format
    scale: Array
    zero_point: Array
    axis: int | None = None
    block_size: int = 0
    qmin: float = field(default=0)
    qmax: float = field(default=0)

    def __post_init__(self) -> None:
        if self.qmin == 0 and self.qmax == 0:
            object.__setattr__(self, "qmin", self.format.low)
            object.__setattr__(self, "qmax", self.format.high)
        assert self.scale.shape == self.zero_point.shape, "one zero point per scale"

    @property
    def bits(self) -> int:
        return self.format.bits

    @property
    def granularity(self) -> str:
        """`per_tensor`, `per_channel` or `per_block`."""
        return "per_tensor" if self.axis is None else "per_block" if self.block_size else "per_channel"

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether real 0 is the middle of a signed grid, or the 128 of an unsigned one."""
        middle = 0 if self.format.is_signed else (int(self.qmax) + 1) // 2
        return bool(np.all(self.zero_point == middle))

    @cached_property
    def has_zero_point(self) -> bool:
        return bool(np.any(self.zero_point != 0))

    def spread(self, values: Array, shape: tuple[int, ...]) -> Array:
        """Per-tensor, per-channel or per-block numbers, broadcast against a tensor of this shape."""
        if self.axis is None:
            return values
        if not self.block_size:
            return values.reshape([-1 if d == self.axis else 1 for d in range(len(shape))])
        return np.repeat(values, self.block_size, self.axis).take(range(shape[self.axis]), self.axis)

    def dequantize(self, q: Array) -> Array:
        """float32 real numbers of stored ones: float32(q - zero_point) * scale (ONNX DequantizeLinear)."""
        wide = np.float32 if not self.format.is_integer else np.int64
        offset = q.astype(wide) - self.spread(self.zero_point, q.shape).astype(wide)
        return (offset.astype(np.float32) * self.spread(self.scale, q.shape).astype(np.float32)).astype(np.float32)

    def quantize(self, x: Array) -> Array:
        """Stored numbers of real ones as ONNX QuantizeLinear: float32 division, half to even, zero point, saturation."""
        zero_point = self.spread(self.zero_point, x.shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            v = x.astype(np.float32) / self.spread(self.scale, x.shape).astype(np.float32)
        if not self.format.is_integer or self.format.name == "bipolar":
            return self.format.round(v + zero_point.astype(np.float32))
        low, high = (self.qmin - zero_point).astype(np.float64), (self.qmax - zero_point).astype(np.float64)
        v = np.where(np.isnan(v), low, np.clip(v.astype(np.float64), low, high))
        return (np.rint(v) + zero_point).astype(self.format.dtype)

    def same_grid(self, other: QuantParams) -> bool:
        """Whether stored numbers mean the same in both, so that data can move without requantization."""
        return (
            self.format.name == other.format.name
            and self.axis == other.axis
            and self.block_size == other.block_size
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def moved(self, axis: int | None) -> QuantParams:
        """The same parameters with the channel axis elsewhere (after a transpose or reshape of the data)."""
        return replace(self, axis=axis)
