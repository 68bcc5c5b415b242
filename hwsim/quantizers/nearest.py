"""Rounding to nearest, ties to even: what a tool without calibration data does (Q08)."""

from __future__ import annotations

from hwsim.quantizers._rounding import Rounded, RoundingProblem, nearest

__all__ = ["round_weights"]


def round_weights(p: RoundingProblem) -> Rounded:
    """Every weight on its own."""
    return Rounded(nearest(p), p.scale)
