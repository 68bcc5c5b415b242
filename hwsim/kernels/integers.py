"""Kernels of integer formulas that an arithmetic brings as scalar functions: two operands, reductions, softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["interpolate", "pairs", "reduce", "softmax"]

PAIR_PARAMETERS = 10
SIZES = {"u8": 1, "i16": 2, "i32": 4}


def pairs(function: Callable[..., Any], a_type: str, b_type: str, y_type: str) -> Any:
    """Kernel: y = function(a, b, parameters, low, high) over up to six dimensions with strides (0 repeats).

    args: a, whether it is an address, b, whether it is an address, y, address of ten parameters (float64), biases of a, b and y, low,
    high, then per dimension its size and the strides of a, b and y, outermost first.
    """
    from hwsim.kernels import raw

    left_type, right_type, target, f64, i64 = getattr(raw, a_type), getattr(raw, b_type), getattr(raw, y_type), raw.f64, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 35)
        d, v = a[11:], f64(a[5], 10)
        p = (v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9])
        span_a, span_b, span_y = 1, 1, 1
        for i in range(6):
            span_a += (d[4 * i] - 1) * d[4 * i + 1]
            span_b += (d[4 * i] - 1) * d[4 * i + 2]
            span_y += (d[4 * i] - 1) * d[4 * i + 3]
        left = left_type(a[0] + (0 if a[1] else arena), span_a)
        right, y = right_type(a[2] + (0 if a[3] else arena), span_b), target(arena + a[4], span_y)
        inner = d[20]
        for outer in range(d[0] * d[4] * d[8] * d[12] * d[16]):
            at_a, at_b, at_y, rest = 0, 0, 0, outer
            for i in range(4, -1, -1):
                index, rest = rest % d[4 * i], rest // d[4 * i]
                at_a += index * d[4 * i + 1]
                at_b += index * d[4 * i + 2]
                at_y += index * d[4 * i + 3]
            for i in range(inner):
                x, w = np.int64(left[at_a + i * d[21]]) + a[6], np.int64(right[at_b + i * d[22]]) + a[7]
                y[at_y + i * d[23]] = np.int64(function(x, w, p, a[9], a[10])) - a[8]

    return kernel


def reduce(requantize: Callable[..., Any], x_type: str, y_type: str) -> Any:
    """Kernel: sums of stored numbers without their zero point, wrapped at 32 bits and requantized.

    args: x, y, outputs, terms, elements of x, addresses of (place of the first term, place of the output) pairs and of the terms'
    offsets (int64), address of three parameters (float64), zero point of x (as held), zero point of y, low, high, bias of y.
    """
    from hwsim.kernels import raw

    source, target, f64, i64 = getattr(raw, x_type), getattr(raw, y_type), raw.f64, raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 13)
        x, y, starts, terms, v = source(arena + a[0], a[4]), target(arena + a[1], a[2]), i64(a[5], 2 * a[2]), i64(a[6], a[3]), f64(a[7], 3)
        for i in range(a[2]):
            total = np.int64(0)
            for j in range(a[3]):
                total += np.int64(x[starts[2 * i] + terms[j]]) - a[8]
            total = ((total + 2147483648) & 4294967295) - 2147483648
            y[starts[2 * i + 1]] = np.int64(requantize(total, (v[0], v[1], v[2]), a[9], a[10], a[11])) - a[12]

    return kernel


def softmax(out: Callable[..., Any], x_type: str, y_type: str) -> Any:
    """Kernel: rows through a table of exponentials by (maximum - number), their sum, and `out(exponential, sum, reciprocals, low)`.

    args: x, y, rows, columns, entries of the tables, of the reciprocals, addresses of exponentials, addends and reciprocals (int64),
    strides of x and y along a row, address of (start of x, start of y) per row, low, high, bias of y.
    """
    from hwsim.kernels import raw

    source, target, i64 = getattr(raw, x_type), getattr(raw, y_type), raw.i64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 15)
        columns, x_step, y_step, low, high = a[3], a[9], a[10], a[12], a[13]
        exponentials, addends, reciprocals, starts = i64(a[6], a[4]), i64(a[7], a[4]), i64(a[8], a[5]), i64(a[11], 2 * a[2])
        for row in range(a[2]):
            x = source(arena + a[0], starts[2 * row] + (columns - 1) * x_step + 1)[starts[2 * row] :]
            y = target(arena + a[1], starts[2 * row + 1] + (columns - 1) * y_step + 1)[starts[2 * row + 1] :]
            top, total = np.int64(x[0]), np.int64(0)
            for i in range(columns):
                top = max(top, np.int64(x[i * x_step]))
            for i in range(columns):
                total += addends[top - np.int64(x[i * x_step])]
            for i in range(columns):
                value = np.int64(out(exponentials[top - np.int64(x[i * x_step])], total, reciprocals, low))
                y[i * y_step] = min(max(value, low), high) - a[14]

    return kernel


def interpolate(blend: Callable[..., Any], x_type: str) -> Any:
    """Kernel: channels-last images whose every number is `blend` of four stored neighbours and the weights of row and column.

    args: x, y, images, in rows, in columns, channels, out rows, out columns, addresses of row and column taps (int64 low, high pairs),
    of row and column weights (float64), biases of x and y, low, high.
    """
    from hwsim.kernels import raw

    view, f64, i64, size = getattr(raw, x_type), raw.f64, raw.i64, SIZES[x_type]

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 16)
        rows, columns, channels, out_rows, out_columns, bias = a[3], a[4], a[5], a[6], a[7], a[12]
        row_taps, column_taps, wy, wx = i64(a[8], 2 * out_rows), i64(a[9], 2 * out_columns), f64(a[10], out_rows), f64(a[11], out_columns)
        for place in range(a[2] * out_rows * out_columns):
            n, oy, ox = place // (out_rows * out_columns), place // out_columns % out_rows, place % out_columns
            top, bottom = (n * rows + row_taps[2 * oy]) * columns, (n * rows + row_taps[2 * oy + 1]) * columns
            left, right = column_taps[2 * ox], column_taps[2 * ox + 1]
            tl = view(arena + a[0] + size * (top + left) * channels, channels)
            tr = view(arena + a[0] + size * (top + right) * channels, channels)
            bl = view(arena + a[0] + size * (bottom + left) * channels, channels)
            br = view(arena + a[0] + size * (bottom + right) * channels, channels)
            y = view(arena + a[1] + size * place * channels, channels)
            for c in range(channels):
                corners = np.int64(tl[c]) + bias, np.int64(tr[c]) + bias, np.int64(bl[c]) + bias, np.int64(br[c]) + bias
                value = np.int64(blend(corners[0], corners[1], corners[2], corners[3], wy[oy], wx[ox]))
                y[c] = min(max(value, a[14]), a[15]) - a[13]

    return kernel
