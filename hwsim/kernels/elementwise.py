"""Kernel of linear interpolation in real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["interpolate"]

SIZES = {"u8": 1, "i16": 2}


def interpolate(x_type: str) -> Any:
    """Kernel: linear resize of channels-last images in float32, columns first, then rows, then quantize.

    args: x, y, images, in rows, in columns, channels, out rows, out columns, addresses of row taps and column taps (int64 low, high
    pairs), of row and column weights (float32), of the dequantization table (float32), its shift, of (scale, low, high, offset) in float64.
    """
    from hwsim.kernels import raw

    view, f32, f64, i64 = getattr(raw, x_type), raw.f32, raw.f64, raw.i64
    size = SIZES[x_type]

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 15)
        rows, columns, channels, out_rows, out_columns = a[3], a[4], a[5], a[6], a[7]
        row_taps, column_taps, row_weights, column_weights = (
            i64(a[8], 2 * out_rows),
            i64(a[9], 2 * out_columns),
            f32(a[10], out_rows),
            f32(a[11], out_columns),
        )
        real, p = f32(a[12], 65536), f64(a[14], 4)
        scale, one = np.float32(p[0]), np.float32(1)
        for n in range(a[2]):
            for oy in range(out_rows):
                wy = row_weights[oy]
                top, bottom = (n * rows + row_taps[2 * oy]) * columns, (n * rows + row_taps[2 * oy + 1]) * columns
                for ox in range(out_columns):
                    wx, left, right = column_weights[ox], column_taps[2 * ox], column_taps[2 * ox + 1]
                    tl = view(arena + a[0] + size * (top + left) * channels, channels)
                    tr = view(arena + a[0] + size * (top + right) * channels, channels)
                    bl = view(arena + a[0] + size * (bottom + left) * channels, channels)
                    br = view(arena + a[0] + size * (bottom + right) * channels, channels)
                    y = view(arena + a[1] + size * ((n * out_rows + oy) * out_columns + ox) * channels, channels)
                    for c in range(channels):
                        above = np.float32(real[tl[c] + a[13]] * (one - wx)) + np.float32(real[tr[c] + a[13]] * wx)
                        below = np.float32(real[bl[c] + a[13]] * (one - wx)) + np.float32(real[br[c] + a[13]] * wx)
                        v = np.float64((np.float32(above * (one - wy)) + np.float32(below * wy)) / scale)
                        y[c] = np.int64(np.rint(min(max(v, p[1]), p[2]))) + np.int64(p[3])

    return kernel
