"""Entropy calibration: the threshold that loses the least Kullback-Leibler divergence (TensorRT; as ncnn and TNN, 2048 bins; Q13)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit", "threshold_bin"]

BINS = 2048
SMOOTH = 1e-4


def threshold_bin(histogram: Array, levels: int) -> int:
    """How many of the first bins to keep: P is clipped with its outliers in the last bin, Q is P merged to `levels` and expanded again.

    Q shares each merged sum evenly among the bins of P that are not empty; zeros of both become 1e-4.
    """
    counts = histogram.astype(np.float64)
    tail = counts.sum() - np.cumsum(counts)
    divergences = [_divergence(counts[:i], tail[i - 1], levels) for i in range(levels, len(counts) + 1)]
    return levels + int(np.argmin(divergences))


def _divergence(kept: Array, outliers: float, levels: int) -> float:
    p = kept.copy()
    p[-1] += outliers
    group = np.arange(len(kept)) * levels // len(kept)
    filled = (kept > 0).astype(np.float64)
    sums, members = np.bincount(group, kept, levels), np.bincount(group, filled, levels)
    q = (sums / np.maximum(members, 1))[group] * filled
    p, q = (np.where(a > 0, a, SMOOTH) for a in (p / p.sum(), q / max(q.sum(), 1e-300)))
    return float((p * np.log(p / q)).sum())


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n): all within the threshold of |x|, inside the values' range."""
    grids = [_clip(row, scheme) for row in values.reshape(-1, values.shape[-1])]
    low, high = np.array(grids).T
    return affine(low, high, scheme)


def _clip(row: Array, scheme: Scheme) -> tuple[float, float]:
    magnitude = np.abs(row)
    largest, two_sided = float(magnitude.max()), bool(row.min() < 0) or scheme.symmetric
    levels = (scheme.qmax - scheme.qmin + 1) // (2 if two_sided else 1)
    if largest == 0:
        return 0.0, 0.0
    histogram = np.histogram(magnitude, BINS, (0.0, largest))[0]
    threshold = largest * threshold_bin(histogram, levels) / BINS
    return max(float(row.min()), -threshold), min(float(row.max()), threshold)
