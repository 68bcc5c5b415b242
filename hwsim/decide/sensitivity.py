"""What each layer's width costs in accuracy: one width of the widest network narrowed at a time, run bit-true on the chip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from hwsim.decide.outputs import cross_entropy, divergence, right, sqnr_db
from hwsim.decide.study import Question, Study
from hwsim.decide.traces import curvatures
from hwsim.errors import HwsimError
from hwsim.io.files import write_whole
from hwsim.io.store import Cells
from hwsim.io.text import to_csv
from hwsim.quant import Array
from hwsim.steps.read import read
from hwsim.steps.widths import Width

__all__ = ["METRICS", "Passing", "Row", "Sensitivity", "sensitivity"]

TRACE_SAMPLES = 100
CHUNK = 4  # cells that a worker takes at a time
Progress = Callable[[int, int], None]
Cell = tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One width at one number of bits, everything else at the widest.

    `accuracy` is the metric's value, `accuracy_loss` what it is below the widest network's.  Against the float network: `kl` in nats,
    `sqnr_db` of the output, and `loss`, the cross-entropy (None without class labels).  Of weights: squared distance from the float ones
    (`perturbation`), over their square (`weight_noise`), mean of the Hessian's diagonal with its standard error, mean squared gradient.
    """

    width: str
    kind: str
    layers: tuple[str, ...]
    bits: int
    accuracy: float
    accuracy_loss: float
    kl: float
    sqnr_db: float
    loss: float | None = None
    perturbation: float | None = None
    weight_noise: float | None = None
    weights: int | None = None
    mean_trace: float | None = None
    trace_error: float | None = None
    fisher: float | None = None


def _trace_of(r: Row) -> float | None:
    return None if r.mean_trace is None or r.perturbation is None else max(r.mean_trace, 0.0) * r.perturbation


METRICS: dict[str, Callable[[Row], float | None]] = {
    "kl": lambda r: r.kl,
    "accuracy": lambda r: r.accuracy_loss,
    "loss": lambda r: r.loss,
    "sqnr": lambda r: 10 ** (-r.sqnr_db / 10),
    "trace": _trace_of,
    "whole_trace": lambda r: None if (t := _trace_of(r)) is None or r.weights is None else t * r.weights,
    "fisher": lambda r: None if r.fisher is None or r.perturbation is None else r.fisher * r.perturbation,
    "weight_noise": lambda r: r.weight_noise,
    "perturbation": lambda r: r.perturbation,
}


@dataclass(frozen=True)
class Sensitivity:
    """The rows of a network on a chip, with the float network's metric and the widest network's row (`width` "")."""

    arch: str
    model: str
    method: str
    metric: str
    samples: int
    float_accuracy: float
    widest: Row
    rows: tuple[Row, ...]

    @cached_property
    def by_cell(self) -> Mapping[tuple[str, int], Row]:
        return {(r.width, r.bits): r for r in self.rows}

    def increase(self, width: Width, bits: int, metric: str = "kl") -> float:
        """How much a metric of loss grows when one width is narrowed, never below 0; 0 at the widest.

        Activations have no traces: theirs is the KL divergence, which has the same unit (half the trace times the squared perturbation
        is the growth of the loss).
        """
        row = self.by_cell.get((width.name, bits))
        if row is None:
            return 0.0
        value = METRICS[metric](row)
        if value is None:
            return max(row.kl - self.widest.kl, 0.0)
        base = METRICS[metric](self.widest)
        half = 0.5 if metric == "trace" else 1.0
        return max(half * value - (base or 0.0), 0.0)

    def to_json(self) -> str:
        """JSON text of all rows."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def to_csv(self) -> str:
        """CSV text, one row a width and number of bits, the widest network's first."""
        names = [f.name for f in fields(Row)]
        cells = [[" ".join(v) if isinstance(v := getattr(r, n), tuple) else v for n in names] for r in (self.widest, *self.rows)]
        return to_csv(names, cells)

    def write(self, path: Path) -> None:
        """Write to a .json or .csv file.  Raises HwsimError for another name and for a place that cannot be written."""
        forms = {".json": self.to_json, ".csv": self.to_csv}
        if path.suffix not in forms:
            raise HwsimError("-o", f"must end with {' or '.join(forms)}", repr(path.name))
        write_whole(path, forms[path.suffix]())


def sensitivity(
    question: Question, trace: bool = False, executor: Executor | None = None, keep: Path | None = None, progress: Progress | None = None
) -> Sensitivity:
    """Every width of the network at every number of bits that was asked for.

    Cells that the file `keep` holds are not run again; each is in it as soon as it is done.  Any executor of concurrent.futures runs
    them in parallel.  `trace` adds the curvature of the float network's loss at each layer's weights (needs labels and PyTorch).
    """
    work = _Work(question)
    cells = [(v, o) for v, options in enumerate(question.table.options) for o in range(len(options) - 1) if options[o] < options[-1]]
    with closing(Cells(keep) if keep else Passing()) as store:
        found = {c: json.loads(text) for c in [(-1, 0), *cells] if (text := store.get(work.key(c))) is not None}
        left = [c for c in [(-1, 0), *cells] if c not in found]
        for cell, values in _run(work, left, executor):
            store.put(work.key(cell), json.dumps(values))
            found[cell] = values
            if progress:
                progress(len(found), len(cells) + 1)
        curves = _curves(question, store, trace)
    widest = Row("", "", (), max(question.weight_bits), **found[-1, 0], accuracy_loss=0.0)
    rows = [_row(question, c, found[c], widest, curves) for c in cells]
    kind = str(question.kind)
    real = float(right(question.float_outputs, question.y, kind).mean())
    return Sensitivity(question.arch.name, question.source.name, question.method, kind, len(question.x), real, widest, tuple(rows))


class Passing:
    """Keeps results as Cells does, for as long as it is there."""

    def __init__(self) -> None:
        self._held: dict[bytes, str] = {}

    def get(self, key: bytes) -> str | None:
        """What was kept under a key."""
        return self._held.get(key)

    def put(self, key: bytes, value: str) -> None:
        """Keep a result."""
        self._held[key] = value

    def close(self) -> None:
        """Nothing is left behind."""


class _Work:
    """Cells of one question; the study that runs them is made when the first is."""

    def __init__(self, question: Question) -> None:
        self.question = question

    @cached_property
    def study(self) -> Study:
        return Study.of(self.question)

    def key(self, cell: Cell) -> bytes:
        """By content: the question and what is narrowed."""
        width = "" if cell[0] < 0 else self.question.table.widths[cell[0]]
        bits = 0 if cell[0] < 0 else self.question.table.options[cell[0]][cell[1]]
        return hashlib.blake2b(repr(("sensitivity", width, bits)).encode(), key=self.question.key, digest_size=16).digest()

    def rate(self, cell: Cell) -> dict[str, Any]:
        """What the network of one cell computes, as numbers."""
        question = self.question
        v, option = cell
        if v < 0:
            return _rated(question, self.study.outputs)
        choice = [len(o) - 1 for o in question.table.options]
        choice[v] = option
        values = _rated(question, self.study.mixed_outputs(question.table.precision(choice)))
        width, bits = question.table.widths[v], question.table.options[v][option]
        if width.kind == "weights":
            noise, power = self.study.perturbation(width.nodes[0], bits)
            count = self.study.outcome.plan.graph.tensors[self.study.outcome.plan.layers[width.nodes[0]].inputs[1]].elements
            values |= {"perturbation": noise, "weight_noise": noise / max(power, 1e-300), "weights": count}
        return values


def _rated(question: Question, outputs: Array) -> dict[str, Any]:
    real = question.float_outputs
    return {
        "accuracy": float(right(outputs, question.y, question.kind).mean()),
        "kl": divergence(real, outputs),
        "sqnr_db": min(sqnr_db(real, outputs), 200.0),
        "loss": cross_entropy(outputs, question.y),
    }


def _run(work: _Work, cells: Sequence[Cell], executor: Executor | None) -> Iterator[tuple[Cell, dict[str, Any]]]:
    if executor is None:
        for cell in cells:
            yield cell, work.rate(cell)
        return
    if not cells:
        return
    blob = _Blob.of(work.study)
    flying = {executor.submit(_chunk, blob, cells[i : i + CHUNK]): None for i in range(0, len(cells), CHUNK)}
    try:
        while flying:
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                flying.pop(future)
                yield from future.result()
    finally:
        for future in flying:
            future.cancel()


@dataclass(frozen=True)
class _Blob:
    """A study on its way to workers, with the key under which each of them keeps it."""

    key: bytes
    study: Study

    @classmethod
    def of(cls, study: Study) -> _Blob:
        return cls(study.question.key, Study(study.question, study.outcome))


_HELD: dict[bytes, _Work] = {}


def _chunk(blob: _Blob, cells: Sequence[Cell]) -> list[tuple[Cell, dict[str, Any]]]:
    """Some cells, in a worker; it keeps the last study, with the outputs of its widest network."""
    if blob.key not in _HELD:
        work = _Work(blob.study.question)
        work.__dict__["study"] = blob.study
        _HELD.clear()
        _HELD[blob.key] = work
    return [(c, _HELD[blob.key].rate(c)) for c in cells]


def _curves(question: Question, store: Any, wanted: bool) -> dict[str, dict[str, float]]:
    if not wanted:
        return {}
    layers = [w.nodes[0] for w in question.table.widths if w.kind == "weights"]
    key = hashlib.blake2b(repr(("trace", layers, TRACE_SAMPLES)).encode(), key=question.key, digest_size=16).digest()
    text = store.get(key)
    if text is None:
        samples = min(TRACE_SAMPLES, len(question.x))
        graph = read(question.free, question.shapes(samples))
        found = curvatures(graph, question.x[:samples], question.y[:samples], layers, question.seed)
        text = json.dumps({k: asdict(v) for k, v in found.items()})
        store.put(key, text)
    known: dict[str, dict[str, float]] = json.loads(text)
    return known


def _row(question: Question, cell: Cell, values: Mapping[str, Any], widest: Row, curves: Mapping[str, Mapping[str, float]]) -> Row:
    width, bits = question.table.widths[cell[0]], question.table.options[cell[0]][cell[1]]
    extra: dict[str, Any] = {}
    if width.kind == "weights" and width.nodes[0] in curves:
        c = curves[width.nodes[0]]
        extra = {"mean_trace": c["mean_trace"], "trace_error": c["error"], "fisher": c["fisher"]}
    lost = widest.accuracy - values["accuracy"]
    return Row(width.name, width.kind, width.nodes, bits, accuracy_loss=lost, **values, **extra)
