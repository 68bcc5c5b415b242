"""The problem that rounding methods solve: stored weights whose layer output is nearest to the float layer's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.quant import Array

__all__ = ["Rounded", "RoundingProblem", "nearest"]


@dataclass(frozen=True, eq=False)
class RoundingProblem:
    """One layer as rows of weights, all arrays (groups, outputs of a group, K) or broadcast to it, in float64.

    Stored numbers are counted from the zero point: weight = scale * u with whole u in low ... high.  `gram` = cov(xq, xq) and
    `cross` = cov(xq, xf), (groups, K, K), of the unfolded quantized inputs xq and float inputs xf, so that the error of a row,
    E|w xf - s u xq|^2 without means, is s^2 u gram u' - 2 s u cross w' + constant; identities where there is no data.
    `free_scale` says that every row's scale may change (per channel, not a power of two).
    """

    weights: Array
    scale: Array
    low: Array
    high: Array
    gram: Array
    cross: Array
    free_scale: bool
    seed: int = 0

    @property
    def target(self) -> Array:
        """cross w' of every row."""
        return self.weights @ self.cross.transpose(0, 2, 1)

    def errors(self, u: Array, scale: Array | None = None) -> Array:
        """The error of every row up to its constant, (groups, outputs)."""
        w = u * (self.scale if scale is None else scale)
        return ((w @ self.gram - 2 * self.target) * w).sum(-1)

    def with_scale(self, scale: Array) -> RoundingProblem:
        return replace(self, scale=scale)


@dataclass(frozen=True, eq=False)
class Rounded:
    """Stored numbers counted from the zero point, and the scale that they are to be read with."""

    u: Array
    scale: Array


def nearest(p: RoundingProblem) -> Array:
    """Every weight rounded to the nearest stored number."""
    return np.clip(np.rint(p.weights / p.scale), p.low, p.high)
