"""Pooling kernels on channels-last tensors; windows are cut at the borders."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["average", "average_float32", "maximum"]

SIZES = {"u8": 1, "i16": 2}


def _bounds() -> Any:
    from numba import njit

    @njit
    def bounds(out: int, stride: int, pad: int, kernel: int, dilation: int, n: int) -> Any:
        """First and last kernel cell inside the input, and where the window starts."""
        first = out * stride - pad
        low = 0 if first >= 0 else (-first + dilation - 1) // dilation
        high = min(kernel, (n - 1 - first) // dilation + 1) if first < n else 0
        return first, low, high

    return bounds


def maximum(x_type: str) -> Any:
    """Kernel: largest stored number of each window.

    args: x, y, images, in rows, in columns, channels, out rows, out columns, kernel rows, columns, strides, dilations, pads.
    """
    from hwsim.kernels import raw

    view, i64, size, bounds = getattr(raw, x_type), raw.i64, SIZES[x_type], _bounds()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 16)
        channels = a[5]
        for n in range(a[2]):
            for oy in range(a[6]):
                y0, ky0, ky1 = bounds(oy, a[10], a[14], a[8], a[12], a[3])
                for ox in range(a[7]):
                    x0, kx0, kx1 = bounds(ox, a[11], a[15], a[9], a[13], a[4])
                    y = view(arena + a[1] + size * (((n * a[6] + oy) * a[7] + ox) * channels), channels)
                    first = True
                    for ky in range(ky0, ky1):
                        for kx in range(kx0, kx1):
                            pixel = (n * a[3] + y0 + ky * a[12]) * a[4] + x0 + kx * a[13]
                            x = view(arena + a[0] + size * (pixel * channels), channels)
                            if first:
                                for c in range(channels):
                                    y[c] = x[c]
                                first = False
                            else:
                                for c in range(channels):
                                    y[c] = max(y[c], x[c])

    return kernel


def average(x_type: str) -> Any:
    """Kernel: exact sum of each window, then the finishing kernel with arguments of the window's own cell count.

    args: as `maximum`, then x_zero, finish, address of the finish args of every output position (int64), sums.
    """
    from hwsim.kernels import raw

    view, i64, size, bounds, finish = getattr(raw, x_type), raw.i64, SIZES[x_type], _bounds(), raw.finish

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 20)
        rows, columns, channels, out_rows, out_columns, zero = a[3], a[4], a[5], a[6], a[7], a[16]
        sums, finish_args = i64(arena + a[19], channels), i64(a[18], out_rows * out_columns)
        for n in range(a[2]):
            for oy in range(out_rows):
                y0, ky0, ky1 = bounds(oy, a[10], a[14], a[8], a[12], rows)
                for ox in range(out_columns):
                    x0, kx0, kx1 = bounds(ox, a[11], a[15], a[9], a[13], columns)
                    for c in range(channels):
                        sums[c] = 0
                    for ky in range(ky0, ky1):
                        for kx in range(kx0, kx1):
                            pixel = (n * rows + y0 + ky * a[12]) * columns + x0 + kx * a[13]
                            x = view(arena + a[0] + size * (pixel * channels), channels)
                            for c in range(channels):
                                sums[c] += np.int64(x[c]) - zero
                    place = oy * out_columns + ox
                    target = arena + a[1] + size * ((n * out_rows * out_columns + place) * channels)
                    finish(a[17], finish_args[place], arena + a[19], 0, channels, target)

    return kernel


def average_float32(x_type: str) -> Any:
    """Kernel: ONNX Runtime's QLinearAveragePool: sequential float32 sum of dequantized cells, row by row.

    args: as `maximum`, then x_zero, address of (x_scale, y_scale, y_zero) in float64, address of counts (int64), low, high, y_bias.
    """
    from hwsim.kernels import raw

    view, i64, f64, size, bounds = getattr(raw, x_type), raw.i64, raw.f64, SIZES[x_type], _bounds()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 22)
        channels, places = a[5], a[6] * a[7]
        p, counts = f64(a[17], 3), i64(a[18], places)
        x_scale, y_scale, y_zero = np.float32(p[0]), np.float32(p[1]), np.float32(p[2])
        for n in range(a[2]):
            for oy in range(a[6]):
                y0, ky0, ky1 = bounds(oy, a[10], a[14], a[8], a[12], a[3])
                for ox in range(a[7]):
                    x0, kx0, kx1 = bounds(ox, a[11], a[15], a[9], a[13], a[4])
                    place = oy * a[7] + ox
                    y = view(arena + a[1] + size * ((n * places + place) * channels), channels)
                    for c in range(channels):
                        total = np.float32(0)
                        for ky in range(ky0, ky1):
                            for kx in range(kx0, kx1):
                                pixel = (n * a[3] + y0 + ky * a[12]) * a[4] + x0 + kx * a[13]
                                x = view(arena + a[0] + size * (pixel * channels + c), 1)
                                total = np.float32(total + np.float32(np.float32(np.int64(x[0]) - a[16]) * x_scale))
                        average = np.float32(total / np.float32(counts[place]))
                        v = np.rint(np.float32(np.float32(average / y_scale) + y_zero))
                        y[c] = np.int64(min(max(v, np.float32(a[19])), np.float32(a[20]))) - a[21]

    return kernel
