"""A dataset through a network on a chip and through the file's own arithmetic: a stream of batches, of which only scores are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from hwsim.arch import Arch
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.io.dataset import Dataset
from hwsim.quant import Array
from hwsim.result import Agreement, Result
from hwsim.steps.execute import Execution, executor
from hwsim.steps.lower import as_written, lower
from hwsim.steps.read import with_batch
from hwsim.steps.score import agreement, check_labels, choose_metric, joined, sample_scores, scored
from hwsim.steps.stream import stream

__all__ = ["Progress", "Runs", "scored_result"]

Progress = Callable[[int, int], None]
Batch = tuple[int, Array, int]


@dataclass(frozen=True)
class Runs:
    """How a dataset is executed: by which engine, how many samples at a time, in how many threads."""

    engine: str = "numba"
    batch: int = 64
    threads: int = 1


@dataclass(frozen=True)
class Part:
    """What is kept of one batch: samples done, overflows of each step, scores on the chip and in the file's arithmetic, agreement."""

    done: int
    overflowed: Mapping[str, int]
    chip: Array
    own: Array
    agreement: Agreement


def scored_result(
    result: Result, arch: Arch, graph: Graph, data: Dataset, runs: Runs, metric: str | None, progress: Progress | None
) -> Result:
    """The result with accuracy on the chip, accuracy of the file's own arithmetic, and how far both agree.

    Raises HwsimError for data that does not fit.
    """
    kind, overflowed = metric or choose_metric(data.y), Counter[str]()
    name, out = _input(graph), graph.outputs[0]
    _check(graph, data, kind)
    size = with_batch(graph, min(runs.batch, len(data))).tensors[name].shape[0]

    @cache
    def ready(size: int) -> tuple[Callable[..., Execution], Callable[..., Execution]]:
        sized = with_batch(graph, size)
        on_chip, as_file = (executor(p, engine=runs.engine) for p in (lower(sized, arch), as_written(sized)))
        return on_chip, as_file

    def run(batch: Batch) -> Part:
        done, x, count = batch
        on_chip, as_file = (execution({name: x}) for execution in ready(len(x)))
        chip, own = (e.tensors[out][:count] for e in (on_chip, as_file))
        chip_scores, own_scores = (sample_scores(o, data.y[done - count : done], kind) for o in (chip, own))
        return Part(done, on_chip.overflowed, chip_scores, own_scores, agreement(chip, own))

    ready(size)
    parts = []
    for part in stream(run, _batches(graph, data, size), runs.threads):
        overflowed.update(part.overflowed)
        parts.append(part)
        if progress:
            progress(part.done, len(data))
    return replace(
        result,
        accuracy=scored(np.concatenate([p.chip for p in parts]), kind),
        reference_accuracy=scored(np.concatenate([p.own for p in parts]), kind),
        agreement=joined([p.agreement for p in parts]),
        overflowed=dict(overflowed),
    )


def _input(graph: Graph) -> str:
    if len(graph.inputs) != 1:
        raise HwsimError(graph.name, "must have one input to be scored on a dataset", f"{len(graph.inputs)} inputs")
    return graph.inputs[0]


def _check(graph: Graph, data: Dataset, metric: str) -> None:
    tensor = graph.tensors[graph.inputs[0]]
    if data.x.shape[1:] != tensor.shape[1:]:
        wanted = f"x must have samples of shape {tensor.shape[1:]} for input '{tensor.name}'"
        raise HwsimError(f"data '{data.name}'", wanted, data.x.shape[1:])
    check_labels((len(data), *graph.tensors[graph.outputs[0]].shape[1:]), data.y, metric)


def _batches(graph: Graph, data: Dataset, size: int) -> Iterator[Batch]:
    """Samples done, the inputs of one batch, and how many of them count: a network of fixed batch gets its last one filled up."""
    for start in range(0, len(data), size):
        part = np.asarray(data.x[start : start + size])
        wanted = with_batch(graph, len(part)).tensors[graph.inputs[0]].shape[0]
        yield start + len(part), np.concatenate([part, np.repeat(part[-1:], wanted - len(part), 0)]), len(part)
