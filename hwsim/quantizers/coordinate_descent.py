"""Rounding by coordinate descent on the layer's output error: AdaQuant's freedom (weights may move more than a step) without gradients.

Cyclic coordinate descent for integer least squares on the Gram matrix of the inputs; the scale is the least-squares one after each sweep,
as in AdaQuant (Hubara et al., ICML 2021, eq. 1) with W and s_w free.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._rounding import Rounded, RoundingProblem, nearest

__all__ = ["round_weights"]

USES_DATA = True

SWEEPS = 8


def round_weights(p: RoundingProblem) -> Rounded:
    """u_k <- round(u_k + r_k / (s A_kk)) with r = cross w' - s A u', one k of all rows at a time; never worse than nearest."""
    u, scale, target = nearest(p), np.array(np.broadcast_to(p.scale, (*p.weights.shape[:2], 1))), p.target
    best, best_scale, least = u.copy(), scale.copy(), p.errors(u)
    for _ in range(SWEEPS):
        moved = _sweep(p, u, scale, target)
        if p.free_scale:
            scale = _least_squares(p, u, scale, target)
        errors = p.errors(u, scale)
        better = errors < least
        best[better], best_scale[better], least[better] = u[better], scale[better], errors[better]
        if not moved:
            break
    return Rounded(best, best_scale if p.free_scale else p.scale)


def _sweep(p: RoundingProblem, u: Array, scale: Array, target: Array) -> bool:
    """One pass over the coordinates; `u` changes in place.  Whether anything moved."""
    residual = target / scale - u @ p.gram
    diagonal = np.maximum(np.diagonal(p.gram, axis1=1, axis2=2), 1e-30)
    moved = False
    for k in range(u.shape[-1]):
        old = u[..., k]
        new = np.clip(np.rint(old + residual[..., k] / diagonal[:, None, k]), p.low[..., 0], p.high[..., 0])
        step = new - old
        if step.any():
            moved = True
            residual -= step[..., None] * p.gram[:, None, k]
            u[..., k] = new
    return moved


def _least_squares(p: RoundingProblem, u: Array, scale: Array, target: Array) -> Array:
    """s = <u, cross w'> / <u, A u> of each row, where that is positive."""
    over, under = (u * target).sum(-1, keepdims=True), ((u @ p.gram) * u).sum(-1, keepdims=True)
    return np.where((over > 0) & (under > 0), over / np.where(under > 0, under, 1), scale)
