"""Formats that are a short list of levels."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array, Format


def from_levels(name: str, bits: int, levels: list[float], dtype: str) -> Format:
    """The format whose code i stands for levels[i] (in rising order); the nearest level wins, ties go to the even code."""
    table = np.asarray(levels, np.float64)
    middles = (table[1:] + table[:-1]) / 2

    def codes(x: Array) -> Array:
        x = x.astype(np.float64)
        low = np.searchsorted(middles, x, "left")
        tie = np.isin(x, middles) & (low % 2 == 1)
        return (low + tie).astype(np.uint64)

    return Format(
        name, bits, levels[0], levels[-1], dtype, lambda x, _: table[codes(x)], codes, lambda c: table[c.astype(np.int64)].astype(dtype)
    )
