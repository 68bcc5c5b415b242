"""Kernels that go element by element: tables of one and two operands, quantize, and moves."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["interpolate", "lookup", "lookup_pairs", "move", "quantize", "scatter", "softmax"]

SIZES = {"u8": 1, "i16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}


def lookup(x_type: str, y_type: str) -> Any:
    """Kernel: y[i] = table[x[i] + shift].  args: x, y, elements, table address, table size, shift."""
    from hwsim.kernels import raw

    source, target, i64 = getattr(raw, x_type), getattr(raw, y_type), raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 6)
        x, y, table = source(arena + a[0], a[2]), target(arena + a[1], a[2]), target(a[3], a[4])
        for i in range(a[2]):
            y[i] = table[x[i] + a[5]]

    return kernel


def lookup_pairs(y_type: str) -> Any:
    """Kernel: y[i] = table[256 a[i] + b[i]] over up to six dimensions with strides (0 repeats).

    args: a, whether it is an address, b, whether it is an address, y, table address, then per dimension its size and the strides
    of a, b and y, outermost first.
    """
    from hwsim.kernels import raw

    target, u8, i64 = getattr(raw, y_type), raw.u8, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 30)
        table, d = target(a[5], 65536), a[6:]
        span_a, span_b, span_y = 1, 1, 1
        for i in range(6):
            span_a += (d[4 * i] - 1) * d[4 * i + 1]
            span_b += (d[4 * i] - 1) * d[4 * i + 2]
            span_y += (d[4 * i] - 1) * d[4 * i + 3]
        left = u8(a[0] + (0 if a[1] else arena), span_a)
        right, y = u8(a[2] + (0 if a[3] else arena), span_b), target(arena + a[4], span_y)
        for i0 in range(d[0]):
            for i1 in range(d[4]):
                for i2 in range(d[8]):
                    for i3 in range(d[12]):
                        for i4 in range(d[16]):
                            p = i0 * d[1] + i1 * d[5] + i2 * d[9] + i3 * d[13] + i4 * d[17]
                            q = i0 * d[2] + i1 * d[6] + i2 * d[10] + i3 * d[14] + i4 * d[18]
                            r = i0 * d[3] + i1 * d[7] + i2 * d[11] + i3 * d[15] + i4 * d[19]
                            for i5 in range(d[20]):
                                y[r + i5 * d[23]] = table[256 * np.int64(left[p + i5 * d[21]]) + right[q + i5 * d[22]]]

    return kernel


def move(x_type: str) -> Any:
    """Kernel: y[i] = x[map[i]], or `fill` where the map says -1.  args: x, y, elements, map address (int32), size of x, fill."""
    from hwsim.kernels import raw

    view, i32, i64 = getattr(raw, x_type), raw.i32, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 6)
        x, y, source = view(arena + a[0], a[4]), view(arena + a[1], a[2]), i32(a[3], a[2])
        for i in range(a[2]):
            y[i] = x[source[i]] if source[i] >= 0 else a[5]

    return kernel


def quantize(y_type: str) -> Any:
    """Kernel: ONNX QuantizeLinear of float32.  args: x, y, elements, map address (int32), size of x, address of
    (scale, low, high, offset) in float64: y = rint(clip(x / scale, low, high)) + offset."""
    from hwsim.kernels import raw

    target, f32, f64, i32, i64 = getattr(raw, y_type), raw.f32, raw.f64, raw.i32, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 6)
        x, y, source, p = f32(arena + a[0], a[4]), target(arena + a[1], a[2]), i32(a[3], a[2]), f64(a[5], 4)
        scale, low, high, offset = np.float32(p[0]), p[1], p[2], np.int64(p[3])
        for i in range(a[2]):
            v = np.float64(x[source[i]] / scale)
            v = low if np.isnan(v) else min(max(v, low), high)
            y[i] = np.int64(np.rint(v)) + offset

    return kernel


def scatter(x_type: str) -> Any:
    """Kernel: y[map[i]] = x[i].  args: x, y, elements of x, map address (int32), elements of y, -."""
    from hwsim.kernels import raw

    view, i32, i64 = getattr(raw, x_type), raw.i32, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 6)
        x, y, target = view(arena + a[0], a[2]), view(arena + a[1], a[4]), i32(a[3], a[2])
        for i in range(a[2]):
            y[target[i]] = x[i]

    return kernel


def softmax(x_type: str) -> Any:
    """Kernel: softmax of rows through a table of exponentials, sequential float32 sum.

    args: x, y, rows, columns, table address (float32, for row maximum minus number), table size, address of (factor, y_zero, low,
    high, y_bias, stored number of an overflow) in float64, scratch (columns float32), element stride, row address table (int64).
    y = rint(float32(float32(t factor) / sum)) + y_zero.
    """
    from hwsim.kernels import raw

    view, f32, f64, i64 = getattr(raw, x_type), raw.f32, raw.f64, raw.i64
    size = SIZES[x_type]

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 10)
        columns, stride = a[3], a[8]
        table, p, e, starts = f32(a[4], a[5]), f64(a[6], 6), f32(arena + a[7], columns), i64(a[9], 2 * a[2])
        factor = np.float32(p[0])
        for r in range(a[2]):
            x = view(arena + a[0] + size * starts[2 * r], (columns - 1) * stride + 1)
            y = view(arena + a[1] + size * starts[2 * r + 1], (columns - 1) * stride + 1)
            top = np.int64(x[0])
            for i in range(columns):
                top = max(top, np.int64(x[i * stride]))
            total = np.float32(0)
            for i in range(columns):
                e[i] = table[top - np.int64(x[i * stride])]
                total = np.float32(total + e[i])
            for i in range(columns):
                v = np.rint(np.float32(np.float32(e[i] * factor) / total))
                whole = np.int64(v) if np.isfinite(v) else np.int64(p[5])
                whole = ((whole + np.int64(p[1]) + 2147483648) & 4294967295) - 2147483648
                y[i * stride] = min(max(whole, np.int64(p[2])), np.int64(p[3])) - np.int64(p[4])

    return kernel


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
