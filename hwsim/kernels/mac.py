"""Kernels that multiply and accumulate in 64 bits: any convolution (dense, grouped, transposed, depthwise), and matrix products.

All tensors are channels-last.  Operands come with their zero points removed, so cells outside the input add nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ARGS", "PRODUCT_ARGS", "conv", "product"]

SIZES = {"u8": 1, "i16": 2, "i32": 4, "f32": 4}
ARGS = (
    "x",
    "y",
    "images",
    "in_rows",
    "in_columns",
    "channels",
    "x_image",
    "x_row",
    "x_pixel",
    "out_rows",
    "out_columns",
    "outputs",
    "groups",
    "y_image",
    "y_row",
    "y_pixel",
    "kernel_rows",
    "kernel_columns",
    "stride_row",
    "stride_column",
    "dilation_row",
    "dilation_column",
    "pad_row",
    "pad_column",
    "up_row",
    "up_column",
    "x_zero",
    "weights",
    "start",
    "finish",
    "finish_args",
    "y_size",
    "sums",
    "overflowed",
    "bits",
    "saturate",
    "tile",
    "w_zero",
    "x_bias",
)

PRODUCT_ARGS = (
    *("x", "w", "y", "batches", "rows", "depth", "columns", "offsets", "x_row", "x_depth", "w_depth", "w_column", "y_row"),
    *("x_zero", "w_zero", "finish", "finish_args", "y_size", "sums", "overflowed", "bits", "saturate"),
)


def _cut() -> Any:
    """Cut sums to an accumulator's width, by wrapping or saturation; counts what the cut changed."""
    from numba import njit

    @njit
    def cut(sums: Any, n: int, width: int, saturate: int) -> int:
        if width >= 64:
            return 0
        low, high = -(np.int64(1) << (width - 1)), (np.int64(1) << (width - 1)) - 1
        changed = 0
        for k in range(n):
            v = np.int64(sums[k])
            if v < low or v > high:
                changed += 1
                sums[k] = min(max(v, low), high) if saturate else ((v - low) & ((np.int64(1) << width) - 1)) + low
        return changed

    return cut


def conv(x_type: str) -> Any:
    """Kernel of ARGS: weights are int32 [groups][kernel rows][kernel columns][channels][outputs] with their zero points removed."""
    from numba import njit

    from hwsim.kernels import raw

    source, i32, i64 = getattr(raw, x_type), raw.i32, raw.i64
    x_size = SIZES[x_type]
    finish, cut = raw.finish, _cut()

    @njit
    def add(sums: Any, a: Any, base: int, n: int, oy: int, ox: int, g: int) -> None:
        channels, outputs, kernel_columns, zero = a[5], a[11], a[17], a[26]
        for tap in range(a[16] * kernel_columns):
            y = oy * a[18] + tap // kernel_columns * a[20] - a[22]
            x = ox * a[19] + tap % kernel_columns * a[21] - a[23]
            if y < 0 or x < 0 or y % a[24] != 0 or x % a[25] != 0 or y // a[24] >= a[3] or x // a[25] >= a[4]:
                continue
            pixel = source(base + x_size * (n * a[6] + y // a[24] * a[7] + x // a[25] * a[8] + g * channels), channels)
            w = a[27] + 4 * (g * a[16] * kernel_columns + tap) * channels * outputs
            for c in range(channels):
                value, row = pixel[c] - zero, i32(w + 4 * c * outputs, outputs)
                for k in range(outputs):
                    sums[k] += value * row[k]

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 39)
        outputs, groups = a[11], a[12]
        sums, overflowed, start = i64(arena + a[32], outputs), i64(arena + a[33], 1), i64(a[28], groups * outputs)
        for place in range(a[2] * a[9] * a[10]):
            n, oy, ox = place // (a[9] * a[10]), place // a[10] % a[9], place % a[10]
            for g in range(groups):
                for k in range(outputs):
                    sums[k] = start[g * outputs + k]
                add(sums, a, arena + a[0], n, oy, ox, g)
                overflowed[0] += cut(sums, outputs, a[34], a[35])
                target = arena + a[1] + a[31] * (n * a[13] + oy * a[14] + ox * a[15] + g * outputs)
                finish(a[29], a[30], arena + a[32], g * outputs, outputs, target)

    return kernel


def _products(right: Any, w_size: int, small: Any) -> tuple[Any, Any]:
    """Sums of one row of the left matrix with every column: `rows` where columns lie side by side, `dots` wherever they lie.
    Numbers without their zero points are `small`."""
    from numba import njit

    @njit
    def rows(sums: Any, x: Any, w: int, a: Any) -> None:
        sums[:] = 0
        w_zero = small(a[14])
        for c in range(a[5]):
            value, row = np.int64(small(x[c * a[9]]) - small(a[13])), right(w + w_size * c * a[10], len(sums))
            for k in range(len(sums)):
                sums[k] += value * np.int64(small(row[k]) - w_zero)

    @njit
    def dots(sums: Any, x: Any, w: int, a: Any) -> None:
        x_zero, w_zero = small(a[13]), small(a[14])
        for k in range(len(sums)):
            column, total = right(w + w_size * k * a[11], (a[5] - 1) * a[10] + 1), np.int64(0)
            if a[9] == 1 and a[10] == 1:
                for c in range(a[5]):
                    total += np.int64(small(x[c]) - x_zero) * np.int64(small(column[c]) - w_zero)
            else:
                for c in range(a[5]):
                    total += np.int64(small(x[c * a[9]]) - x_zero) * np.int64(small(column[c * a[10]]) - w_zero)
            sums[k] = total

    return rows, dots


def product(x_type: str, w_type: str) -> Any:
    """Kernel: batched products of two computed matrices, sums in int64 cut to `bits`.

    args: PRODUCT_ARGS; offsets: address of 3 x batches offsets, in elements as the strides are.
    """
    from hwsim.kernels import raw

    i64 = raw.i64
    left, right = getattr(raw, x_type), getattr(raw, w_type)
    x_size, w_size = SIZES[x_type], SIZES[w_type]
    finish, cut = raw.finish, _cut()
    rows, dots = _products(right, w_size, np.int32 if max(x_size, w_size) < 4 else np.int64)

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 22)
        batches, columns, depth = a[3], a[6], a[5]
        offsets, sums, overflowed = i64(a[7], 3 * batches), i64(arena + a[18], columns), i64(arena + a[19], 1)
        for b in range(batches):
            for m in range(a[4]):
                x = left(arena + a[0] + x_size * (offsets[3 * b] + m * a[8]), (depth - 1) * a[9] + 1)
                w = arena + a[1] + w_size * offsets[3 * b + 1]
                if a[11] == 1:
                    rows(sums, x, w, a)
                else:
                    dots(sums, x, w, a)
                overflowed[0] += cut(sums, columns, a[20], a[21])
                target = arena + a[2] + a[17] * (offsets[3 * b + 2] + m * a[12])
                finish(a[15], a[16], arena + a[18], 0, columns, target)

    return kernel
