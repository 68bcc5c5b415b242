"""Millions of assignments scored by a sum of small tables."""

from __future__ import annotations

from typing import Any

__all__ = ["ROWS", "score_choices"]

ROWS = 64


def score_choices(quantities: int, most: int) -> Any:
    """Kernel: for every assignment and quantity, the sum over terms of the term's entry.

    ROWS assignments at a time, variable by variable, so that the places of their entries are found in vectors; four quantities at a
    time are then summed in registers.
    args: choices (rows x variables, u8), rows (a multiple of ROWS), variables, values (entries x quantities, f64; quantities are filled
    up to fours), entries, terms, offset (terms), variable and stride (terms x most), sums (rows x quantities, f64), and room: (variables x
    ROWS, u8, at a multiple of 8) and (terms x ROWS, i32).
    """
    import numpy as np

    from hwsim.kernels.raw import f64, i32, i64, u8, u64

    u, i = np.uint64, np.int32  # indices that cannot be negative, and vectors of short numbers

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 12)
        rows, terms, width, eight = a[1], a[5], u(a[2]), u(8)
        values, sums = f64(a[3], a[4] * quantities), f64(a[9], rows * quantities)
        offset, variable, stride = i64(a[6], terms), i64(a[7], terms * most), i64(a[8], terms * most)
        choices, turned, at = u8(a[0], rows * a[2]), u8(a[10], a[2] * ROWS), i32(a[11], terms * ROWS)
        words = u64(a[10], a[2] * ROWS // 8)
        for start in range(0, rows, ROWS):
            for group in range(ROWS // 8):
                for v in range(width):
                    word, first = u(0), u(start + 8 * group) * width + u(v)
                    for row in range(8):
                        word |= u(choices[first + u(row) * width]) << (u(row) * eight)
                    words[u(v) * u(ROWS // 8) + u(group)] = word
            for t in range(terms):
                places = at[t * ROWS : (t + 1) * ROWS]
                for row in range(ROWS):
                    places[row] = i(offset[t])
                for k in range(most):
                    chosen, step = turned[variable[t * most + k] * ROWS :], i(stride[t * most + k])
                    if step:
                        for row in range(ROWS):
                            places[row] += i(chosen[row]) * step
            for row in range(ROWS):
                for q in range(0, quantities, 4):
                    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                    for t in range(terms):
                        entry = u(at[u(t) * u(ROWS) + u(row)]) * u(quantities) + u(q)
                        s0 += values[entry]
                        s1 += values[entry + u(1)]
                        s2 += values[entry + u(2)]
                        s3 += values[entry + u(3)]
                    total = u(start + row) * u(quantities) + u(q)
                    sums[total], sums[total + u(1)], sums[total + u(2)], sums[total + u(3)] = s0, s1, s2, s3

    return kernel
