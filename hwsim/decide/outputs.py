"""How a network's outputs differ from the float network's: divergence, signal over noise, and the loss against labels."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.steps.score import METRICS

__all__ = ["cross_entropy", "divergence", "right", "sqnr_db"]

LEAST = 1e-12


def divergence(real: Array, found: Array) -> float:
    """KL(real || found) of the outputs' class probabilities, the mean over samples (and positions of maps), in nats (ZeroQ, eq. 5)."""
    p, q = _log_probabilities(real), _log_probabilities(found)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def cross_entropy(outputs: Array, y: Array) -> float | None:
    """The mean loss against class labels, in nats; None for labels that are none."""
    found = _log_probabilities(outputs)
    labels = y.reshape(-1)
    if y.dtype.kind not in "iub" or labels.size != found.reshape(-1, found.shape[-1]).shape[0]:
        return None
    if labels.min() < 0 or labels.max() >= found.shape[-1]:
        return None
    return -float(np.take_along_axis(found.reshape(-1, found.shape[-1]), labels[:, None].astype(np.int64), 1).mean())


def sqnr_db(real: Array, found: Array) -> float:
    """Power of the float output over the power of the difference, in dB."""
    noise = float(np.square(real - found, dtype=np.float64).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(max(float(np.square(real, dtype=np.float64).sum()), 1e-300) / noise))


def right(outputs: Array, y: Array, metric: str) -> Array:
    """The metric of each sample."""
    return METRICS[metric](outputs, y).astype(np.float64)


def _log_probabilities(outputs: Array) -> Array:
    """Logarithms of class probabilities, the classes last; outputs that are no probabilities already are taken for logits.

    Classes are the channels of a map, else all that a sample has; a single channel is the probability of the second of two classes.
    """
    x = np.moveaxis(outputs, 1, -1) if outputs.ndim > 2 else outputs
    x = x.astype(np.float64)
    if x.shape[-1] == 1:
        x = np.concatenate([1 - x, x], -1) if _between(x) else np.concatenate([np.zeros_like(x), x], -1)
    if _between(x) and np.allclose(x.sum(-1), 1, atol=0.05):
        x = np.log(np.maximum(x, LEAST))
    shifted = x - x.max(-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def _between(x: Array) -> bool:
    return bool(x.min() >= 0 and x.max() <= 1)
