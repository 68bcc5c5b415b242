"""The way out of the accumulators, compiled apart from the kernels that fill them: kernels of (args, sums, first, count, target).

args: address of three rows of parameters (float64, one number per output channel of the whole layer), their length, zero point, low,
high and bias of the stored output.  `first` is the channel of sums[0]; `count` outputs are stored from `target` on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["real", "requantized"]


def requantized(requantize: Callable[..., Any], sums_type: str, y_type: str) -> Any:
    """Stored numbers by an arithmetic's own `requantize`."""
    from hwsim.kernels import raw

    held, out, f64, i64 = getattr(raw, sums_type), getattr(raw, y_type), raw.f64, raw.i64

    def kernel(args: int, sums: int, first: int, count: int, target: int) -> None:
        a = i64(args, 6)
        p, n = f64(a[0], 3 * a[1]), a[1]
        s, y = held(sums, count), out(target, count)
        for k in range(count):
            c = first + k
            y[k] = requantize(np.int64(s[k]), (p[c], p[n + c], p[2 * n + c]), a[2], a[3], a[4]) - a[5]

    return kernel


def real(sums_type: str) -> Any:
    """float32(sum) scale + shift, each operation rounded: parameters are (scale, shift)."""
    from hwsim.kernels import raw

    held, f32, f64, i64 = getattr(raw, sums_type), raw.f32, raw.f64, raw.i64

    def kernel(args: int, sums: int, first: int, count: int, target: int) -> None:
        a = i64(args, 6)
        p, n = f64(a[0], 3 * a[1]), a[1]
        s, y = held(sums, count), f32(target, count)
        for k in range(count):
            c = first + k
            y[k] = np.float32(np.float32(np.float32(s[k]) * np.float32(p[c])) + np.float32(p[n + c]))

    return kernel
