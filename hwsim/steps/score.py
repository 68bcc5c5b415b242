"""How good the outputs are: accuracy with its interval, and agreement between two runs of the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from hwsim.errors import HwsimError, suggest
from hwsim.quant import Array
from hwsim.result import Agreement, Score

__all__ = ["METRICS", "agreement", "check_labels", "choose_metric", "joined", "sample_scores", "score", "scored"]

Z95 = 1.959964


def _top(k: int) -> Callable[[Array, Array], Array]:
    def hits(out: Array, y: Array) -> Array:
        flat = out.reshape(len(out), -1)
        rank = (flat > np.take_along_axis(flat, y.reshape(-1, 1).astype(np.int64), 1)).sum(1)
        if k == 1:
            return flat.argmax(1) == y.reshape(-1)
        return rank < k

    return hits


def _masks(out: Array, y: Array) -> tuple[Array, Array]:
    """Predicted and true foreground: class 1 of a two-channel map, or above one half."""
    answer = out.argmax(1) if out.ndim == 4 and out.shape[1] > 1 else out.reshape(len(out), *out.shape[-2:]) > 0.5
    return (answer > 0).reshape(len(y), -1), (y > 0).reshape(len(y), -1)


def _dice(out: Array, y: Array) -> Array:
    p, t = _masks(out, y)
    return 2 * (p & t).sum(1) / np.maximum(p.sum(1) + t.sum(1), 1)


def _iou(out: Array, y: Array) -> Array:
    p, t = _masks(out, y)
    return (p & t).sum(1) / np.maximum((p | t).sum(1), 1)


def _mse(out: Array, y: Array) -> Array:
    return ((out.reshape(len(out), -1) - y.reshape(len(y), -1)) ** 2).mean(1)


METRICS: dict[str, Callable[[Array, Array], Array]] = {"top1": _top(1), "top5": _top(5), "dice": _dice, "iou": _iou, "mse": _mse}


def choose_metric(y: Array) -> str:
    """The metric that fits the labels: one whole number a sample is a class, a map is a segmentation, anything else a regression."""
    if y.size == len(y) and y.dtype.kind in "iub":
        return "top1"
    return "dice" if y.dtype.kind in "iub" and y.ndim >= 3 else "mse"


def score(outputs: Array, y: Array, metric: str) -> Score:
    """A metric of network outputs (samples first) against labels.  Raises HwsimError for labels that do not fit."""
    check_labels(outputs.shape, y, metric)
    return scored(sample_scores(outputs, y, metric), metric)


def check_labels(shape: tuple[int, ...], y: Array, metric: str) -> None:
    """Raises HwsimError for an unknown metric, and for labels that do not fit outputs of this shape (samples first)."""
    if metric not in METRICS:
        raise HwsimError("metric", f"must be one of {', '.join(METRICS)}", repr(metric), suggest(metric, METRICS))
    classes = int(np.prod(shape[1:]))
    if metric in ("top1", "top5"):
        if y.size != len(y) or y.dtype.kind not in "iub" or y.min() < 0 or y.max() >= classes:
            raise HwsimError(
                "labels y", f"must be one class of 0 to {classes - 1} per sample", f"{y.dtype} of shape {y.shape} up to {y.max()}"
            )
    elif metric == "mse" and int(np.prod(y.shape[1:])) != classes:
        raise HwsimError("targets y", f"must have {classes} numbers per sample like the output", y.shape)
    elif metric in ("dice", "iou") and y.shape[-2:] != shape[-2:]:
        raise HwsimError("masks y", f"must have the output's size {shape[-2:]}", y.shape)


def sample_scores(outputs: Array, y: Array, metric: str) -> Array:
    """The metric of every sample, (samples,) in float64."""
    return METRICS[metric](outputs, y).astype(np.float64)


def scored(each: Array, metric: str) -> Score:
    """The mean of the samples' scores with its interval."""
    value, n = float(each.mean()), len(each)
    if metric.startswith("top"):
        return Score(metric, value, *_wilson(value, n), n)
    half = Z95 * float(each.std(ddof=1)) / sqrt(n) if n > 1 else float("nan")
    return Score(metric, value, value - half, value + half, n)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def agreement(a: Array, b: Array) -> Agreement:
    """Two runs compared sample by sample."""
    flat_a, flat_b = a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
    answers = (a.argmax(1), b.argmax(1)) if a.ndim == 4 else (flat_a.argmax(1), flat_b.argmax(1))
    same = float((answers[0] == answers[1]).mean())
    difference = np.abs(flat_a - flat_b)
    return Agreement(same, float(difference.max()), float(difference.mean()), float((difference == 0).mean()), len(a))


def joined(parts: Sequence[Agreement]) -> Agreement:
    """The agreement of all samples, from those of some at a time."""
    n = sum(p.samples for p in parts)
    same, mean, equal = (
        sum(getattr(p, name) * p.samples for p in parts) / n for name in ("same_answer", "mean_difference", "equal_elements")
    )
    return Agreement(same, max(p.largest_difference for p in parts), mean, equal, n)
