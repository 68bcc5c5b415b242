"""One network, many methods and backends: what deployment costs an algorithm (MQBench's experiment, Li et al. 2021; Q44)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.arch import Arch, Grid, Rules, WeightGrid
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph, SourceGraph
from hwsim.io.arch_yaml import load_arch, presets
from hwsim.io.dataset import Dataset
from hwsim.pipeline.free_batch import free_batch
from hwsim.pipeline.quantize import quantize_network
from hwsim.pipeline.recipe import Recipe
from hwsim.program import Program
from hwsim.quant import Array
from hwsim.quantizing import for_opset, read_precision
from hwsim.simulate import price
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written, lower
from hwsim.steps.read import read
from hwsim.steps.score import agreement, choose_metric, score

__all__ = ["ACADEMIC", "BACKENDS", "BACKEND_COLUMNS", "BackendRow", "backend_rows", "compare_backends", "named_backends"]

BACKENDS = ("tensorrt_t4", "acl_ascend310", "tvm_arm_a72", "snpe_dsp", "fbgemm_x86")
# Table 1: one float32 scale a tensor, symmetric, graph rule 1, batch normalization not folded; activations are unsigned where nothing
# is negative ("ada_sign"): an unsigned format with a symmetric grid says so.
ACADEMIC = Rules(
    weights=WeightGrid(formats=["int8"], symmetric=True),
    activations=Grid(formats=["uint8"], symmetric=True),
    graph=1,
    batch_norm="any",
    source="MQBench, Li et al. 2021, row Academic",
)
BATCH = 50
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackendRow:
    """A network by a method at some widths on a backend; no latency and energy for the academic setting, which has no chip.

    `accuracy` is that of the backend's integers, `fake` that of the same file computed in real numbers; `same_as_fake` and
    `same_as_float` are shares of samples with the same answer.
    """

    network: str
    method: str
    bits: str
    backend: str
    metric: str
    float_accuracy: float
    accuracy: float
    fake: float
    same_as_fake: float
    same_as_float: float
    latency_s: float | None
    energy_j: float | None


def named_backends(text: str) -> list[str]:
    """`all` (MQBench's five and academic), or chips and `academic` with commas between."""
    found = [*BACKENDS, "academic"] if text == "all" else text.split(",")
    known = ("academic", *presets())
    for name in found:
        if "." not in name and name not in known:
            raise HwsimError("--backends", "must be `all`, `academic` or chips", repr(name), suggest(name, known))
    return found


def compare_backends(
    sources: Sequence[SourceGraph],
    calibration: Array | None,
    data: Dataset,
    backends: Sequence[str],
    bits: Sequence[str],
    methods: Sequence[str],
    progress: Progress | None = None,
) -> Iterator[BackendRow]:
    """A row for each network, method, width and backend, as it is done.

    `calibration` are inputs that are not among the data.  Raises HwsimError for those that are, and for what a backend cannot be.
    """
    _check_apart(calibration, data)
    done, total = 0, len(sources) * len(methods) * len(bits) * len(backends)
    for source in sources:
        reference = _outputs(free_batch(source), data.x, as_written)
        for method in methods:
            for widths in bits:
                for backend in backends:
                    yield _row(source, reference, calibration, data, backend, widths, method)
                    done += 1
                    if progress:
                        progress(done, total)


def _check_apart(calibration: Array | None, data: Dataset) -> None:
    """Accuracy on samples that ranges and rounding were fitted to says nothing."""
    if calibration is None or calibration.shape[1:] != data.x.shape[1:]:
        return
    judged = {row.tobytes() for row in data.x.astype(np.float32)}
    same = sum(row.tobytes() in judged for row in calibration.astype(np.float32))
    if same:
        raise HwsimError("--calibration", "must hold other samples than the data to judge on", f"{same} of {len(calibration)} the same")


def _row(
    source: SourceGraph, reference: Array, calibration: Array | None, data: Dataset, backend: str, bits: str, method: str
) -> BackendRow:
    arch = None if backend == "academic" else load_arch(backend)
    rules, precision = ACADEMIC if arch is None else arch.quantization, read_precision(bits)
    x = None if calibration is None else calibration.astype(np.float32)
    network = quantize_network(for_opset(source, [precision]), rules, precision, Recipe.parse(method), x).network
    found = _outputs(network, data.x, as_written if arch is None else lambda graph: lower(graph, arch))
    fake = _outputs(network, data.x, as_written, "literal")
    kind = choose_metric(data.y)
    scores = [score(outputs, data.y, kind).value for outputs in (reference, found, fake)]
    costs = (None, None) if arch is None else _price(arch, network, data)
    same = [agreement(found, outputs).same_answer for outputs in (fake, reference)]
    return BackendRow(source.name, method, bits, backend, kind, scores[0], scores[1], scores[2], same[0], same[1], *costs)


def _price(arch: Arch, network: SourceGraph, data: Dataset) -> tuple[float, float]:
    """Latency and energy of one sample."""
    cost = price(arch, lower(read(network, {network.inputs[0]: (1, *data.x.shape[1:])}), arch))
    return cost.latency_s, cost.energy_j


def _outputs(network: SourceGraph, x: Array, program_of: Callable[[Graph], Program], qdq: str = "integer") -> Array:
    """The first output on all samples, some at a time."""
    found = []
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        graph = read(network, {network.inputs[0]: part.shape}, qdq=qdq)
        found.append(execute(program_of(graph), {graph.inputs[0]: part}).tensors[graph.outputs[0]])
    return np.concatenate(found)


BACKEND_COLUMNS = (
    "network",
    "method",
    "bits",
    "backend",
    "metric",
    "float",
    "accuracy",
    "fake_quantized",
    "same_answer_as_fake_%",
    "same_answer_as_float_%",
    "latency_ms",
    "energy_mj",
)


def backend_rows(rows: Sequence[BackendRow]) -> list[list[Any]]:
    """The rows as text; an absent number is empty."""
    found = []
    for r in rows:
        scores = [f"{v:.4f}" for v in (r.float_accuracy, r.accuracy, r.fake)] + [
            f"{100 * v:.2f}" for v in (r.same_as_fake, r.same_as_float)
        ]
        costs = ["" if v is None else f"{1e3 * v:.4g}" for v in (r.latency_s, r.energy_j)]
        found.append([r.network, r.method, r.bits, r.backend, r.metric, *scores, *costs])
    return found
