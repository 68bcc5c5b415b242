"""Kernels that multiply and accumulate: convolutions (dense, grouped, transposed), depthwise ones, and matrix products.

All tensors are channels-last.  Operands come with their zero points removed, so cells outside the input add nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ARGS", "conv", "conv_steps", "depthwise", "product"]

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


def conv(x_type: str, wide: bool) -> Any:
    """Kernel of ARGS: sums in int32 (they are known to fit, or wrap at 32 bits), or with `wide` in int64 and then cut to `bits`.

    Weights are int16 [groups][kernel rows][kernel columns][channels][outputs] with their zero points removed.
    """
    from hwsim.kernels import raw

    source, i16, i64 = getattr(raw, x_type), raw.i16, raw.i64
    partial, number = (raw.i64, np.int64) if wide else (raw.i32, np.int32)
    x_size = SIZES[x_type]
    finish, cut = raw.finish, _cut()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 39)
        x_base, y_base, channels, outputs, groups = arena + a[0], arena + a[1], a[5], a[11], a[12]
        kernel_rows, kernel_columns, up_row, up_column, zero = a[16], a[17], a[24], a[25], number(a[26])
        sums, overflowed = partial(arena + a[32], outputs), i64(arena + a[33], 1)
        start = partial(a[28], groups * outputs)
        for place in range(a[2] * a[9] * a[10]):
            n, oy, ox = place // (a[9] * a[10]), place // a[10] % a[9], place % a[10]
            for g in range(groups):
                for k in range(outputs):
                    sums[k] = start[g * outputs + k]
                for tap in range(kernel_rows * kernel_columns):
                    y = oy * a[18] + tap // kernel_columns * a[20] - a[22]
                    x = ox * a[19] + tap % kernel_columns * a[21] - a[23]
                    if y < 0 or x < 0 or y % up_row != 0 or x % up_column != 0 or y // up_row >= a[3] or x // up_column >= a[4]:
                        continue
                    pixel = source(x_base + x_size * (n * a[6] + y // up_row * a[7] + x // up_column * a[8] + g * channels), channels)
                    w = a[27] + 2 * (g * kernel_rows * kernel_columns + tap) * channels * outputs
                    for c in range(channels):
                        value = pixel[c] - zero
                        row = i16(w + 2 * c * outputs, outputs)
                        for k in range(outputs):
                            sums[k] += value * row[k]
                if wide:
                    overflowed[0] += cut(sums, outputs, a[34], a[35])
                target = y_base + a[31] * (n * a[13] + oy * a[14] + ox * a[15] + g * outputs)
                finish(a[29], a[30], arena + a[32], g * outputs, outputs, target)

    return kernel


def depthwise(x_type: str, wide: bool) -> Any:
    """The same for one channel in and out per group: weights are int16 [kernel rows][kernel columns][groups]."""
    from hwsim.kernels import raw

    source, i16, i64 = getattr(raw, x_type), raw.i16, raw.i64
    partial, number = (raw.i64, np.int64) if wide else (raw.i32, np.int32)
    x_size = SIZES[x_type]
    finish, cut = raw.finish, _cut()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 39)
        x_base, groups, kernel_columns, zero = arena + a[0], a[12], a[17], number(a[26])
        sums, overflowed, start = partial(arena + a[32], groups), i64(arena + a[33], 1), partial(a[28], groups)
        for place in range(a[2] * a[9] * a[10]):
            n, oy, ox = place // (a[9] * a[10]), place // a[10] % a[9], place % a[10]
            for k in range(groups):
                sums[k] = start[k]
            for tap in range(a[16] * kernel_columns):
                y = oy * a[18] + tap // kernel_columns * a[20] - a[22]
                x = ox * a[19] + tap % kernel_columns * a[21] - a[23]
                if y < 0 or x < 0 or y >= a[3] or x >= a[4]:
                    continue
                pixel = source(x_base + x_size * (n * a[6] + y * a[7] + x * a[8]), groups)
                w = i16(a[27] + 2 * tap * groups, groups)
                for k in range(groups):
                    sums[k] += (pixel[k] - zero) * w[k]
            if wide:
                overflowed[0] += cut(sums, groups, a[34], a[35])
            finish(a[29], a[30], arena + a[32], 0, groups, arena + a[1] + a[31] * (n * a[13] + oy * a[14] + ox * a[15]))

    return kernel


def conv_steps(x_type: str, folded: bool, pairs: bool) -> Any:
    """Convolution whose accumulator is cut after every `tile` products (or adds pairs that saturate at 16 bits), in kernel order.

    `folded`: raw stored numbers are multiplied, cells outside the input are the zero point, and the sum starts from the bias
    with the constant corrections; the run-time correction by `w_zero` (per output) comes last.
    """
    from numba import njit

    from hwsim.kernels import raw

    source, i16, i64 = getattr(raw, x_type), raw.i16, raw.i64
    x_size = SIZES[x_type]
    finish = raw.finish

    @njit
    def limit(v: Any, bits: int, saturate: int) -> Any:
        if bits >= 64:
            return v
        low, high = -(np.int64(1) << (bits - 1)), (np.int64(1) << (bits - 1)) - 1
        if low <= v <= high:
            return v
        return min(max(v, low), high) if saturate else ((v - low) & ((np.int64(1) << bits) - 1)) + low

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 39)
        channels, outputs, groups, tile = a[5], a[11], a[12], a[36]
        depth = a[16] * a[17] * channels
        sums, overflowed, start = i64(arena + a[32], 4 * outputs), i64(arena + a[33], 1), i64(a[28], groups * outputs)
        w_zero = i64(a[37], groups * outputs)
        for n in range(a[2]):
            for oy in range(a[9]):
                for ox in range(a[10]):
                    for g in range(groups):
                        for k in range(outputs):
                            sums[k] = limit(start[g * outputs + k], a[34], a[35])
                            sums[outputs + k] = 0
                            sums[2 * outputs + k] = sums[k] != start[g * outputs + k]
                        step, row_sum = 0, np.int64(0)
                        for ky in range(a[16]):
                            y = oy * a[18] + ky * a[20] - a[22]
                            for kx in range(a[17]):
                                x = ox * a[19] + kx * a[21] - a[23]
                                inside = y >= 0 and x >= 0 and y % a[24] == 0 and x % a[25] == 0 and y // a[24] < a[3] and x // a[25] < a[4]
                                at = (
                                    arena + a[0] + x_size * (n * a[6] + y // a[24] * a[7] + x // a[25] * a[8] + g * channels)
                                    if inside
                                    else arena + a[0]
                                )
                                pixel = source(at, channels)
                                w = a[27] + 2 * (((g * a[16] + ky) * a[17] + kx) * channels) * outputs
                                for c in range(channels):
                                    value = np.int64(pixel[c]) + a[38] if inside else np.int64(a[26])
                                    if not folded:
                                        value -= a[26]
                                    row_sum += value
                                    step += 1
                                    row = i16(w + 2 * c * outputs, outputs)
                                    last = step % tile == 0 or step == depth
                                    for k in range(outputs):
                                        part = sums[outputs + k] + value * row[k]
                                        if last:
                                            if pairs:
                                                held = min(max(part, -32768), 32767)
                                                sums[2 * outputs + k] |= held != part
                                                part = held
                                            total = sums[k] + part
                                            sums[k] = limit(total, a[34], a[35])
                                            sums[2 * outputs + k] |= sums[k] != total
                                            part = 0
                                        sums[outputs + k] = part
                        for k in range(outputs):
                            total = sums[k] - (row_sum * w_zero[g * outputs + k] if folded else 0)
                            sums[k] = limit(total, a[34], a[35])
                            overflowed[0] += (sums[2 * outputs + k] != 0) or (sums[k] != total)
                        target = arena + a[1] + a[31] * (n * a[13] + oy * a[14] + ox * a[15] + g * outputs)
                        finish(a[29], a[30], arena + a[32], g * outputs, outputs, target)

    return kernel


def product(x_type: str, w_type: str) -> Any:
    """Kernel: batched products of two computed matrices, sums in int64 cut to `bits`.

    args: x, w, y, batches, rows, depth, columns, address of 3 x batches offsets (in elements), x row and depth strides, w depth
    and column strides, y row stride, x_zero, w_zero, finish, its args, y element size, sums, overflowed, bits, saturate.
    """
    from hwsim.kernels import raw

    i64 = raw.i64
    left, right = getattr(raw, x_type), getattr(raw, w_type)
    x_size, w_size = SIZES[x_type], SIZES[w_type]
    finish, cut = raw.finish, _cut()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 22)
        batches, columns, depth = a[3], a[6], a[5]
        offsets, sums, overflowed = i64(a[7], 3 * batches), i64(arena + a[18], columns), i64(arena + a[19], 1)
        for b in range(batches):
            for m in range(a[4]):
                x = left(arena + a[0] + x_size * (offsets[3 * b] + m * a[8]), (depth - 1) * a[9] + 1)
                for k in range(columns):
                    w = right(arena + a[1] + w_size * (offsets[3 * b + 1] + k * a[11]), (depth - 1) * a[10] + 1)
                    total = np.int64(0)
                    for c in range(depth):
                        total += (np.int64(x[c * a[9]]) - a[13]) * (np.int64(w[c * a[10]]) - a[14])
                    sums[k] = total
                overflowed[0] += cut(sums, columns, a[20], a[21])
                target = arena + a[2] + a[17] * (offsets[3 * b + 2] + m * a[12])
                finish(a[15], a[16], arena + a[18], 0, columns, target)

    return kernel
