"""Kernels that go element by element: tables of one and two operands, quantize, and moves."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["lookup", "lookup_pairs", "move", "quantize", "scatter"]

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
