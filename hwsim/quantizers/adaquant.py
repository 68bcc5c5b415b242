"""AdaQuant: weights and scale learned on the layer's output error by gradient descent (Hubara et al., ICML 2021, eq. 1; Q26).

Straight-through gradients on the Gram matrix of the inputs; weights may move more than one step.  Ends with the best step seen.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._rounding import Rounded, RoundingProblem, nearest

__all__ = ["round_weights"]

USES_DATA = True
STEPS, RATE, SCALE_RATE = 400, 0.02, 1e-3  # rates in steps of the grid, and of the scale itself


def round_weights(p: RoundingProblem) -> Rounded:
    """Adam on w / s (a step of the grid is 1) and on s; never worse than nearest."""
    scale = np.array(np.broadcast_to(p.scale, (*p.weights.shape[:2], 1)))
    v, gain = p.weights / p.scale, np.ones_like(scale)
    best, best_scale, least = nearest(p), scale.copy(), p.errors(nearest(p))
    signal = np.maximum((p.weights * p.target).sum(-1, keepdims=True), 1e-12)
    moves = [_Adam(v, RATE), _Adam(gain, SCALE_RATE)]
    for _ in range(STEPS):
        u = np.clip(np.rint(v), p.low, p.high)
        slope = 2 * ((u * scale * gain) @ p.gram - p.target) / signal
        moves[0].step(slope * scale * gain * ((v >= p.low - 0.5) & (v <= p.high + 0.5)))
        if p.free_scale:
            moves[1].step((slope * u * scale).sum(-1, keepdims=True))
        u = np.clip(np.rint(v), p.low, p.high)
        errors = p.errors(u, scale * gain)
        better = errors < least
        best[better], best_scale[better], least[better] = u[better], (scale * gain)[better], errors[better]
    return Rounded(best, best_scale if p.free_scale else p.scale)


class _Adam:
    """Adam on one array, changed in place (Kingma and Ba, ICLR 2015)."""

    def __init__(self, values: Array, rate: float) -> None:
        self.values, self.rate, self.count = values, rate, 0
        self.mean, self.square = np.zeros_like(values), np.zeros_like(values)

    def step(self, gradient: Array) -> None:
        self.count += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.001 * (gradient * gradient - self.square)
        mean, square = self.mean / (1 - 0.9**self.count), self.square / (1 - 0.999**self.count)
        self.values -= self.rate * mean / (np.sqrt(square) + 1e-12)
