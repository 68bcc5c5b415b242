"""A network's answers through the integer executor, and paired comparisons with the float network's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arch import Arch
from hwsim.graph import SourceGraph
from hwsim.quant import Array
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written, lower
from hwsim.steps.read import read
from tests.bench._networks import Case

__all__ = ["Verdict", "answers", "compare", "judge"]

BATCH = {"squeezenet": 10, "retina_unet": 1, "vww_mobilenet": 31}


@dataclass(frozen=True, eq=False)
class Verdict:
    """The answers of one run: right or wrong of each row (Dice: true positives, predicted, true of each image), and the answers."""

    hits: Array
    answer: Array
    metric: str

    @property
    def value(self) -> float:
        """Share of right answers, or Dice over all pixels."""
        return _dice(self.hits) if self.metric == "dice" else float(self.hits.mean())


def _dice(parts: Array) -> float:
    total = parts.sum(0)
    return float(2 * total[0] / (total[1] + total[2]))


def answers(network: SourceGraph, case: Case, arch: Arch | None) -> Array:
    """Outputs on the rows to judge: on a chip, or by the file's own arithmetic."""
    size = BATCH.get(case.name, 50)
    graph, outputs = None, []
    for start in range(0, len(case.x), size):
        x = case.x[start : start + size]
        if graph is None or len(x) != size:
            graph = read(network, {network.inputs[0]: x.shape})
            program = as_written(graph) if arch is None else lower(graph, arch)
        outputs.append(execute(program, {graph.inputs[0]: x}).tensors[graph.outputs[0]])
    return np.concatenate(outputs)


def judge(network: SourceGraph, case: Case, arch: Arch | None = None) -> Verdict:
    """Run and score."""
    out = answers(network, case, arch)
    answer = out.argmax(1)
    if case.metric != "dice":
        return Verdict(answer == case.y, answer, case.metric)
    p, t = answer.reshape(len(out), -1) > 0, case.y.reshape(len(out), -1) > 0
    return Verdict(np.stack([(p & t).sum(1), p.sum(1), t.sum(1)], 1), answer, case.metric)


def compare(a: Verdict, b: Verdict) -> tuple[float, float]:
    """Difference a - b on the same rows, in points (Dice: as it is), and its standard error.

    Right and wrong answers: sqrt(lost + won) / n; Dice: the jackknife over images.
    """
    if a.metric == "dice":
        keep = [np.arange(len(a.hits)) != i for i in range(len(a.hits))]
        left = np.array([_dice(a.hits[k]) - _dice(b.hits[k]) for k in keep])
        return a.value - b.value, float(np.sqrt((len(left) - 1) / len(left) * np.square(left - left.mean()).sum()))
    difference = a.hits.astype(int) - b.hits.astype(int)
    return 100 * float(difference.mean()), 100 * float(np.sqrt(np.abs(difference).sum())) / len(difference)
