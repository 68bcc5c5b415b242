"""LiteRT's reference RESIZE_BILINEAR of stored numbers (reference_ops): integers of ten fractional bits for int8 and int16
(ResizeBilinearInteger), float32 on the stored numbers themselves for uint8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.kernels.numbers import f32, i32, i64, select
from hwsim.quant import Array

__all__ = ["Blend", "resize"]


MODES = ("asymmetric", "align_corners", "half_pixel")
Taps = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Blend:
    """How one format is resized: `taps(n, m, aligned, centred)` of an axis, and the number made of four neighbours and two weights."""

    taps: Callable[[int, int, bool, bool], Taps]
    function: Callable[..., Any]

    def along(self, mode: str, n: int, m: int) -> Taps:
        """Lower and upper input index of n, and the upper one's weight, for each of m output indices."""
        return self.taps(n, m, mode == "align_corners" and m > 1, mode == "half_pixel")


def _real_taps(n: int, m: int, aligned: bool, centred: bool) -> Taps:
    step = f32(f32(n - 1) / f32(m - 1)) if aligned else f32(f32(n) / f32(m))
    i = np.arange(m, dtype=np.float32)
    at = ((i + f32(0.5)) * step - f32(0.5)).astype(np.float32) if centred else (i * step).astype(np.float32)
    low = np.maximum(np.floor(at).astype(np.int64), 0)
    return low, np.minimum(np.ceil(at).astype(np.int64), n - 1), (at - low.astype(np.float32)).astype(np.float64)


def _whole_taps(n: int, m: int, aligned: bool, centred: bool) -> Taps:
    step = (1024 * (n - 1) + (m - 1) // 2) // (m - 1) if aligned else (1024 * n + m // 2) // m
    at = np.arange(m, dtype=np.int64) * step + (step // 2 - 512 if centred else 0)
    low = np.maximum(np.trunc(at / 1024).astype(np.int64), 0)
    high = np.minimum(np.trunc((at + 1023) / 1024).astype(np.int64), n - 1)
    return low, high, (at - 1024 * low).astype(np.float64)


def blend_real(tl: Any, tr: Any, bl: Any, br: Any, wy: Any, wx: Any) -> Any:
    """Four products of float32, added from left to right, then truncated to a byte."""
    y, x = f32(wy), f32(wx)
    up, left = f32(1) - y, f32(1) - x
    total = f32(tl) * up * left + f32(bl) * y * left
    total = total + f32(tr) * up * x
    total = total + f32(br) * y * x
    return i32(np.trunc(total + np.float32(0.5))) & 255


def blend_whole(tl: Any, tr: Any, bl: Any, br: Any, wy: Any, wx: Any) -> Any:
    """Weights in 1024ths; the sum over 2^20 with ties away from zero."""
    y, x = i64(wy), i64(wx)
    total = tl * (1024 - y) * (1024 - x) + bl * y * (1024 - x) + tr * (1024 - y) * x + br * y * x
    size = (np.abs(total) + 524288) >> 20
    return select(total < 0, -size, size)


def resize(fmt: str, mode: str) -> Blend | None:
    """The resizing of a stored format, None for coordinate modes that LiteRT does not have."""
    if mode not in MODES:
        return None
    return Blend(_real_taps, blend_real) if fmt == "uint8" else Blend(_whole_taps, blend_whole)
