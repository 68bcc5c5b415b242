"""Convolution whose accumulator is cut on the way: after every so many products, or with pairs that saturate at 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.mac import SIZES

__all__ = ["conv_steps"]


def _limit() -> Any:
    from numba import njit

    @njit
    def limit(v: Any, bits: int, saturate: int) -> Any:
        """One sum cut to an accumulator's width, by wrapping or saturation."""
        if bits >= 64:
            return v
        low, high = -(np.int64(1) << (bits - 1)), (np.int64(1) << (bits - 1)) - 1
        if low <= v <= high:
            return v
        return min(max(v, low), high) if saturate else ((v - low) & ((np.int64(1) << bits) - 1)) + low

    return limit


def _add(limit: Any, pairs: bool) -> Any:
    from numba import njit

    @njit
    def add(sums: Any, value: Any, row: Any, outputs: int, last: bool, bits: int, saturate: int) -> None:
        """One product to every output: sums are totals, parts of the running tile, and whether anything was cut."""
        for k in range(outputs):
            part = sums[outputs + k] + value * row[k]
            if last:
                if pairs:
                    held = min(max(part, -32768), 32767)
                    sums[2 * outputs + k] |= held != part
                    part = held
                total = sums[k] + part
                sums[k] = limit(total, bits, saturate)
                sums[2 * outputs + k] |= sums[k] != total
                part = 0
            sums[outputs + k] = part

    return add


def _window(x_type: str, folded: bool, add: Any) -> Any:
    from numba import njit

    from hwsim.kernels import raw

    source, i32, x_size = getattr(raw, x_type), raw.i32, SIZES[x_type]

    @njit
    def window(sums: Any, a: Any, base: int, n: int, oy: int, ox: int, g: int) -> Any:
        """All products of one output position, in kernel order; gives the sum of the activations."""
        channels, outputs, depth, row_sum = a[5], a[11], a[16] * a[17] * a[5], np.int64(0)
        for tap in range(a[16] * a[17]):
            y, x = oy * a[18] + tap // a[17] * a[20] - a[22], ox * a[19] + tap % a[17] * a[21] - a[23]
            inside = y >= 0 and x >= 0 and y % a[24] == 0 and x % a[25] == 0 and y // a[24] < a[3] and x // a[25] < a[4]
            at = base + x_size * (n * a[6] + y // a[24] * a[7] + x // a[25] * a[8] + g * channels) if inside else base
            pixel = source(at, channels)
            w = a[27] + 4 * ((g * a[16] * a[17] + tap) * channels) * outputs
            for c in range(channels):
                value = np.int64(pixel[c]) + a[38] if inside else np.int64(a[26])
                if not folded:
                    value -= a[26]
                row_sum += value
                step = tap * channels + c + 1
                add(sums, value, i32(w + 4 * c * outputs, outputs), outputs, step % a[36] == 0 or step == depth, a[34], a[35])
        return row_sum

    return window


def conv_steps(x_type: str, folded: bool, pairs: bool) -> Any:
    """Kernel of mac.ARGS: the accumulator is cut after every `tile` products (or adds pairs that saturate at 16 bits), in kernel order.

    `folded`: raw stored numbers are multiplied, cells outside the input are the zero point, and the sum starts from the bias
    with the constant corrections; the run-time correction by `w_zero` (per output) comes last.
    """
    from hwsim.kernels import raw

    i64, finish, limit = raw.i64, raw.finish, _limit()
    window = _window(x_type, folded, _add(limit, pairs))

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 39)
        outputs, groups = a[11], a[12]
        sums, overflowed, start = i64(arena + a[32], 4 * outputs), i64(arena + a[33], 1), i64(a[28], groups * outputs)
        w_zero = i64(a[37], groups * outputs)
        for place in range(a[2] * a[9] * a[10]):
            n, oy, ox = place // (a[9] * a[10]), place // a[10] % a[9], place % a[10]
            for g in range(groups):
                for k in range(outputs):
                    sums[k] = limit(start[g * outputs + k], a[34], a[35])
                    sums[outputs + k] = 0
                    sums[2 * outputs + k] = sums[k] != start[g * outputs + k]
                row_sum = window(sums, a, arena + a[0], n, oy, ox, g)
                for k in range(outputs):
                    total = sums[k] - (row_sum * w_zero[g * outputs + k] if folded else 0)
                    sums[k] = limit(total, a[34], a[35])
                    overflowed[0] += (sums[2 * outputs + k] != 0) or (sums[k] != total)
                target = arena + a[1] + a[31] * (n * a[13] + oy * a[14] + ox * a[15] + g * outputs)
                finish(a[29], a[30], arena + a[32], g * outputs, outputs, target)

    return kernel
