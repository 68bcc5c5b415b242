"""ACIQ's bit allocation: each channel its own width, levels in proportion to its spread^(2/3) (Banner et al. 2019, eq. 11; Q16).

Written with the layer's format as the widest: a channel with fewer bits uses fewer of its numbers.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation
from hwsim.quantizers.aciq import laplace_clip

__all__ = ["NEEDS", "allocate", "approximate"]

NEEDS = "a width for each output channel: bit-serial rows that end earlier"
ROUNDS, LARGEST, CLOSE = 10, 8, 0.01


def allocate(spread: Array, bits: float) -> Array:
    """B_i = round(log2(n 2^M a_i^(2/3) / sum a_j^(2/3))), 0 ... 8; M is moved until the mean is `bits` within 0.01, ten times at most.

    As get_bits_alloc_fixed_target of submission2019/cnn-quantization.
    """
    share = np.maximum(spread, 1e-30) ** (2 / 3)
    share = share / share.sum() * len(share)
    goal, best = bits, np.full(len(spread), round(bits))
    for _ in range(ROUNDS):
        found = np.clip(np.rint(np.log2(share) + goal), 0, LARGEST)
        if abs(found.mean() - bits) < abs(best.mean() - bits) or goal == bits:
            best = found
        if abs(found.mean() - bits) < CLOSE:
            break
        goal += bits - found.mean()
    return best.astype(int)


def approximate(values: Array, bits: int) -> Approximation:
    """Every row on its own width, clipped where a Laplace distribution of its spread is best; 0 and 1 bit leave +-a or nothing."""
    spread = values.std(-1)
    widths = allocate(spread, bits)
    deviation = np.abs(values - values.mean(-1, keepdims=True)).mean(-1)
    reach = np.array([laplace_clip(max(int(b), 1)) for b in widths]) * deviation
    reach = np.minimum(np.maximum(reach, 1e-30), np.maximum(np.abs(values).max(-1), 1e-30))[:, None]
    half = np.maximum(2.0 ** (widths - 1) - 1, 0.5)[:, None]
    unit = reach / half
    codes = np.clip(np.rint(values / unit), -np.floor(half), np.floor(half))
    return Approximation(codes * unit, unit)
