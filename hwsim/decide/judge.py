"""Assignments judged by what the chip really computes: quantized layer after layer, run bit-true, kept by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from hwsim.decide.outputs import cross_entropy, divergence, right
from hwsim.decide.study import Question, Study
from hwsim.decide.table import CostTable
from hwsim.errors import HwsimError
from hwsim.precision import Precision
from hwsim.quant import Array

__all__ = ["Judge", "Verdict", "no_assignment", "uniform_choices"]


@dataclass(frozen=True, eq=False)
class Verdict:
    """The metric of each sample, the divergence of the outputs from the float network's, and the cross-entropy (None without classes)."""

    each: Array
    kl: float
    loss: float | None = None

    @property
    def accuracy(self) -> float:
        return float(self.each.mean())

    def beyond(self, other: Verdict) -> tuple[float, float]:
        """The difference of the metric to another run of the same samples, and the standard error of that paired difference."""
        d = self.each - other.each
        return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else float("nan")


class Judge:
    """Runs assignments on all samples of a question; `store` keeps verdicts (an object with get and put by key)."""

    def __init__(self, question: Question, store: Any, look: Callable[[str], None] | None = None) -> None:
        self.question, self.store, self.look = question, store, look

    @cached_property
    def study(self) -> Study:
        return Study.of(self.question)

    def sequential(self, precision: Precision) -> Verdict:
        """Quantized layer after layer, each layer for the inputs that it gets: the network that is handed out."""
        return self._kept(("sequential", _printed(precision)), lambda: self.question.outputs(self.question.quantized(precision).network))

    def one_shot(self, precision: Precision) -> Verdict:
        """Made of the candidates of each layer, which were chosen for the widest network's inputs: quick, and a little worse."""
        return self._kept(("one shot", _printed(precision)), lambda: self.study.mixed_outputs(precision))

    def real(self) -> Verdict:
        """The float network."""
        return self._kept(("float",), lambda: self.question.float_outputs)

    def _kept(self, what: tuple[str, ...], outputs: Callable[[], Array]) -> Verdict:
        key = hashlib.blake2b(repr(("verdict", *what)).encode(), key=self.question.key, digest_size=16).digest()
        text = self.store.get(key)
        if text is None:
            if self.look:
                self.look(" ".join(what))
            found, q = outputs(), self.question
            each = right(found, q.y, q.kind)
            measured = {"kl": divergence(q.float_outputs, found), "loss": cross_entropy(found, q.y)}
            text = json.dumps({"each": each.tolist(), **measured})
            self.store.put(key, text)
        held = json.loads(text)
        return Verdict(np.array(held["each"], np.float64), held["kl"], held["loss"])


def _printed(precision: Precision) -> str:
    layers = sorted(precision.layers.items())
    return repr((precision.default, layers))


def uniform_choices(table: CostTable) -> list[tuple[int, int, list[int]]]:
    """The assignments of one width to all weights and one to all activations: (weight bits, activation bits, choice)."""
    return [(w, a, table.choice(Precision((w, a)))) for w, a in product(table.weight_bits, table.activation_bits)]


def no_assignment(budgets: Sequence[str], least: Sequence[str]) -> HwsimError:
    """The complaint that nothing is within the limits."""
    return HwsimError("--budget", f"must leave an assignment; the least there is: {', '.join(least)}", ", ".join(budgets))
