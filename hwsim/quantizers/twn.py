"""Ternary weight networks: alpha {-1, 0, 1} with threshold 0.7 E|w| (Li et al. 2016, eq. 4 to 6; Q50)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate", "best_threshold"]

NEEDS = "2-bit weights; zeros can be skipped"
DELTA = 0.7


def approximate(values: Array, bits: int) -> Approximation:
    """alpha = mean of |w| above the threshold; `bits` is not looked at, three levels are all there are."""
    magnitude = np.abs(values)
    kept = magnitude > DELTA * magnitude.mean(-1, keepdims=True)
    alpha = (magnitude * kept).sum(-1, keepdims=True) / np.maximum(kept.sum(-1, keepdims=True), 1)
    return Approximation(alpha * np.sign(values) * kept, alpha)


def best_threshold(row: Array) -> float:
    """The threshold that maximizes (sum of |w| above it)^2 / their count (eq. 5), by trying all."""
    ordered = np.sort(np.abs(row))[::-1]
    gain = np.cumsum(ordered) ** 2 / np.arange(1, len(ordered) + 1)
    at = int(gain.argmax())
    return float((ordered[at] + (ordered[at + 1] if at + 1 < len(ordered) else 0)) / 2)
