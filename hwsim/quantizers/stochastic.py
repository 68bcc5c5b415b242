"""Stochastic rounding: up with probability x - floor(x), else down, so that E[q] = x (Gupta et al., ICML 2015; Q60)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._rounding import Rounded, RoundingProblem

__all__ = ["round_stochastically", "round_weights"]


def round_stochastically(x: Array, rng: np.random.Generator) -> Array:
    """Whole numbers around x, x on average."""
    floor = np.floor(x)
    return floor + (rng.random(x.shape) < x - floor)


def round_weights(p: RoundingProblem) -> Rounded:
    """Every weight by its own draw; the seed decides."""
    found = round_stochastically(p.weights / p.scale, np.random.default_rng(p.seed))
    return Rounded(np.clip(found, p.low, p.high), p.scale)
