"""What the parts of reports/mixed.md ask, and how they show it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from hwsim.decide.judge import Verdict
from hwsim.decide.study import Question
from tests.bench._cells import chip
from tests.bench._networks import MEAN, STD, case
from tests.data import loaders

__all__ = ["ROUNDINGS", "mark", "question", "rated", "shown"]

ROUNDINGS = {"nearest": "mse", "full": "dead+cle+mse+coordinate_descent+bias"}


@cache
def question(network: str, rows: int, arch: str, method: str, widths: tuple[tuple[int, ...], tuple[int, ...]]) -> Question:
    """Judged on the rows of the quantization bench."""
    c = case(network)
    c = c.first(rows) if rows else c
    return Question(chip(arch), c.source, c.calibration, c.x, c.y, *widths, method, c.metric)


@cache
def rated(network: str, arch: str, method: str, widths: tuple[tuple[int, ...], tuple[int, ...]], samples: int = 500) -> Question:
    """The same question on what the sensitivity sees: labelled training images, or the crops that calibrate."""
    q = question(network, 0, arch, method, widths)
    if network == "retina_unet":
        return replace(q, x=q.calibration, y=np.zeros((len(q.calibration), *q.calibration.shape[2:]), np.float32))  # no labels
    images, labels = loaders().cifar10_calib()
    x = ((images[500 : 500 + samples] / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    return replace(q, x=np.ascontiguousarray(x, np.float32), y=labels[500 : 500 + samples])


def shown(v: Verdict, other: Verdict, dice: bool) -> str:
    """A verdict's value with the paired difference to another and its standard error, in points (Dice: as it is)."""
    scale, digits = (1, 4) if dice else (100, 2)
    d, e = v.beyond(other)
    return f"{scale * v.accuracy:.{digits}f} ({scale * d:+.{digits}f} ± {scale * e:.{digits}f})"


def mark(value: float, must: float, aim: float) -> str:
    """What of a goal is met, where more is better."""
    return "aim" if value >= aim else "must" if value >= must else "MISSED"
