"""XNNPACK's bilinear resize of 8-bit images: weights of eleven fractional bits, one rounding, ties up.

src/indirection.c, xnn_indirection_init_resize_bilinear2d_hwc_q11; src/s8-ibilinear, src/u8-ibilinear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._litert_resize import MODES, Blend, Taps
from hwsim.kernels.numbers import f32, i32

__all__ = ["resize"]


def _taps(n: int, m: int, aligned: bool, centred: bool) -> Taps:
    step = f32(f32(n - aligned) / f32(m - aligned))
    at = (np.arange(m, dtype=np.float32) * step).astype(np.float32)
    if centred:
        shift = f32(f32(0.5) * step - f32(0.5))
        at = np.clip((np.arange(m, dtype=np.float32) * step + shift).astype(np.float32), f32(0), f32(n - 1))
    low = np.minimum(at.astype(np.int64), n - 1)
    weight = np.rint((at - low.astype(np.float32)).astype(np.float32) * f32(2048))
    return low, np.minimum(low + 1, n - 1), weight.astype(np.float64)


def blend(tl: Any, tr: Any, bl: Any, br: Any, wy: Any, wx: Any) -> Any:
    """Columns first, then rows, then 2^22 with ties up."""
    x, y, top, bottom = i32(wx), i32(wy), i32(tl), i32(bl)
    above, below = top * 2048 + (i32(tr) - top) * x, bottom * 2048 + (i32(br) - bottom) * x
    return (above * 2048 + (below - above) * y + 2097152) >> 22


def resize(fmt: str, mode: str) -> Blend | None:
    """The resizing of an 8-bit format, None for coordinate modes that XNNPACK does not have."""
    return Blend(_taps, blend) if mode in MODES else None
