"""AdaRound: each weight up or down, whichever makes the layer's output error least (Nagel et al., ICML 2020, eq. 21 to 25).

The reconstruction error is taken on the Gram matrix of the layer's inputs, so every step sees the whole calibration set and no
mini-batch is drawn; a last pass flips single weights while that lowers the error.  Rows of at most 12 weights (depthwise layers) are
solved exactly, by trying all choices.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._rounding import Rounded, RoundingProblem, nearest

__all__ = ["objective", "round_weights"]

USES_DATA = True

ZETA, GAMMA = 1.1, -0.1  # stretch of the sigmoid
STEPS, RATE, WARM = 1000, 1e-2, 0.2
BETA, LAMBDA = (20.0, 2.0), 0.01
MOMENTS = 0.9, 0.999
POLISH = 4
EXACT = 12


def round_weights(p: RoundingProblem) -> Rounded:
    """Floor or floor + 1 of every weight; a row that ends worse than nearest keeps nearest."""
    floor = np.floor(p.weights / p.scale)
    low, high = np.clip(floor, p.low, p.high), np.clip(floor + 1, p.low, p.high)
    small = p.weights.shape[-1] <= EXACT
    found = _enumerate(p, low, high) if small else _polish(p, np.where(_learn(p, floor) >= 0, high, low), low, high)
    plain = nearest(p)
    worse = p.errors(found) > p.errors(plain)
    return Rounded(np.where(worse[..., None], plain, found), p.scale)


def _enumerate(p: RoundingProblem, low: Array, high: Array) -> Array:
    """The best of all 2^K choices of every row."""
    k = p.weights.shape[-1]
    up = (np.arange(1 << k)[:, None] >> np.arange(k)) & 1 == 1
    target, scale, found = p.target, np.broadcast_to(p.scale, (*p.weights.shape[:2], 1)), np.empty_like(p.weights)
    for row in np.ndindex(p.weights.shape[:2]):
        u = np.where(up, high[row], low[row])
        w = u * scale[row]
        found[row] = u[((w @ p.gram[row[0]] - 2 * target[row]) * w).sum(-1).argmin()]
    return found


def _learn(p: RoundingProblem, floor: Array) -> Array:
    """V after Adam; h(V) = clip(sigmoid(V) (zeta - gamma) + gamma, 0, 1) starts at the fraction of w / s."""
    part = np.clip((p.weights / p.scale - floor - GAMMA) / (ZETA - GAMMA), 1e-4, 1 - 1e-4)
    v = np.log(part / (1 - part)).astype(np.float32)
    mean, square = np.zeros_like(v), np.zeros_like(v)
    problem = _Objective(p, floor)
    for step in range(1, STEPS + 1):
        share = max(0.0, (step / STEPS - WARM) / (1 - WARM))
        gradient = problem.gradient(v, BETA[0] + (BETA[1] - BETA[0]) * share, LAMBDA if share else 0.0)
        mean += (1 - MOMENTS[0]) * (gradient - mean)
        square += (1 - MOMENTS[1]) * (gradient * gradient - square)
        v -= RATE / (1 - MOMENTS[0] ** step) * mean / (np.sqrt(square / (1 - MOMENTS[1] ** step)) + 1e-8)
    return v


class _Objective:
    """The relaxed objective in float32: the output error over the output's variance, and the regularizer."""

    def __init__(self, p: RoundingProblem, floor: Array) -> None:
        signal = np.maximum((p.weights * p.target).sum(-1, keepdims=True), 1e-12)
        self.floor, self.low, self.high = (a.astype(np.float32) for a in (floor, p.low, p.high))
        self.gain = (2 * p.scale**2 / signal).astype(np.float32)
        self.gram = p.gram.astype(np.float32)
        self.target = (2 * p.scale / signal * p.target).astype(np.float32)

    def gradient(self, v: Array, beta: float, weight: float) -> Array:
        """d objective / d V."""
        sigmoid = 1 / (1 + np.exp(-v))
        h = sigmoid * (ZETA - GAMMA) + GAMMA
        inside = (h > 0) & (h < 1)
        u = self.floor + np.clip(h, 0, 1)
        inside_grid = (u >= self.low) & (u <= self.high)
        slope = (self.gain * (np.clip(u, self.low, self.high) @ self.gram) - self.target) * inside_grid
        if weight:
            centred = 2 * h - 1
            slope -= weight * beta * 2 * np.sign(centred) * np.abs(centred) ** (beta - 1)
        return slope * inside * (ZETA - GAMMA) * sigmoid * (1 - sigmoid)


def objective(p: RoundingProblem, v: Array, beta: float, weight: float) -> tuple[float, Array]:
    """The relaxed objective of V, up to a constant, and its gradient."""
    part = _Objective(p, np.floor(p.weights / p.scale))
    h = np.clip((ZETA - GAMMA) / (1 + np.exp(-v)) + GAMMA, 0, 1)
    u = np.clip(part.floor + h, p.low, p.high)
    signal = np.maximum((p.weights * p.target).sum(-1), 1e-12)
    value = (p.errors(u) / signal).sum() + weight * (1 - np.abs(2 * h - 1) ** beta).sum()
    return float(value), part.gradient(v, beta, weight)


def _polish(p: RoundingProblem, u: Array, low: Array, high: Array) -> Array:
    """Single flips between the two neighbours while they lower a row's error."""
    target, diagonal = p.target / p.scale, np.diagonal(p.gram, axis1=1, axis2=2)
    slope = u @ p.gram - target
    for _ in range(POLISH):
        flipped = False
        for k in range(u.shape[-1]):
            step = low[..., k] + high[..., k] - 2 * u[..., k]
            step = np.where(step * (2 * slope[..., k] + step * diagonal[:, None, k]) < 0, step, 0)
            if step.any():
                flipped = True
                slope += step[..., None] * p.gram[:, None, k]
                u[..., k] += step
        if not flipped:
            break
    return u
