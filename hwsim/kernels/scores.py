"""Millions of assignments scored by a sum of small tables."""

from __future__ import annotations

from typing import Any

__all__ = ["score_choices"]


def score_choices(quantities: int, most: int) -> Any:
    """Kernel: for every assignment and quantity, the sum over terms of the term's entry.

    args: choices (rows x variables, u8), rows, variables, values (entries x quantities, f64), entries, terms, offset (terms),
    variable and stride (terms x most), sums (rows x quantities, f64), which start at 0.
    """
    from hwsim.kernels.raw import f64, i64, u8

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 10)
        rows, variables, terms = a[1], a[2], a[5]
        values, sums = f64(a[3], a[4] * quantities), f64(a[9], rows * quantities)
        offset, variable, stride = i64(a[6], terms), i64(a[7], terms * most), i64(a[8], terms * most)
        choices = u8(a[0], rows * variables)
        for row in range(rows):
            for t in range(terms):
                at = offset[t]
                for k in range(most):
                    at += choices[row * variables + variable[t * most + k]] * stride[t * most + k]
                for q in range(quantities):
                    sums[row * quantities + q] += values[at * quantities + q]

    return kernel
