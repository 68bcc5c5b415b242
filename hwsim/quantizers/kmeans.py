"""k-means codebook: 2^bits values shared by the whole layer (Han et al., ICLR 2016, section 3; HAQ's compression; Q65)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation, nearest_level
from hwsim.quantizers.lloyd import levels_of

__all__ = ["NEEDS", "approximate", "size_bits"]

NEEDS = "an index for each weight and a codebook of 2^bits entries for each layer"


def approximate(values: Array, bits: int) -> Approximation:
    """In one dimension k-means is Lloyd's algorithm."""
    levels = levels_of(np.sort(values, axis=None), 2**bits)
    return Approximation(levels[nearest_level(values, levels)])


def size_bits(elements: int, bits: int) -> int:
    """Indices, and a codebook of 16-bit entries."""
    return elements * bits + 16 * 2**bits
