"""ONNX Runtime as judge of whole networks: QOperator files tensor by tensor, QDQ files fused node by fused node and literally.

ONNX Runtime runs with graph optimizations off.  Its u8s8 kernels add pairs of products with 16-bit saturation on processors
without VNNI, so tensor-by-tensor equality is asked for where the processor has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hwsim.io.onnx_model import read_onnx, write_onnx
from hwsim.quant import Array
from hwsim.steps.execute import execute, executor
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from hwsim.steps.score import score
from hwsim.topologies import build
from tests.conftest import Say
from tests.judges import all_tensors, fused_by_onnxruntime, session
from tests.networks import QDQ, QOPERATOR, Labelled
from tests.steps import ENGINES


def _vnni() -> bool:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512vnni") or features.get("avxvnni"))


needs_vnni = pytest.mark.skipif(not _vnni(), reason="ONNX Runtime saturates 16-bit pairs of products on a processor without VNNI")


def differing(mine: dict[str, Array], theirs: dict[str, Array]) -> list[str]:
    return [t for t, a in theirs.items() if t not in mine or not np.array_equal(mine[t], a)]


@needs_vnni
@pytest.mark.parametrize("engine", ENGINES)
def test_qoperator_resnet20_every_tensor(engine: str) -> None:
    x = QOPERATOR.rows()[0][:16]
    model, graph = onnx.load(QOPERATOR.path), QOPERATOR.graph(16)
    mine = dict(execute(as_written(graph), {"input": x}, all_tensors=True, engine=engine).tensors)
    theirs = {t: a for t, a in all_tensors(model, {"input": x}).items() if t in graph.tensors}
    assert len(theirs) >= 35
    assert differing(mine, theirs) == []


class _OneImage:
    """A calibration reader of one image."""

    def __init__(self, x: Array) -> None:
        self.rows = iter([{"input": x}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.rows, None)


def quantized_by_onnxruntime(name: str, signed: bool, folder: Path, x: Array, form: str = "QOperator") -> Path:
    """A classic network with random weights in QOperator or QDQ form, by ONNX Runtime's own quantizer."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    source, target = folder / f"{name}.onnx", folder / f"{name}.quantized.onnx"
    write_onnx(fold_batch_norm(build(name)), source)
    quantize_static(
        source,
        target,
        _OneImage(x),
        quant_format=QuantFormat[form],
        per_channel=True,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return target


@needs_vnni
@pytest.mark.parametrize("signed", [False, True], ids=["u8", "s8"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_built_qoperator_networks_every_tensor(name: str, signed: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    file = quantized_by_onnxruntime(name, signed, tmp_path, x)
    theirs = all_tensors(onnx.load(file), {"input": x})
    program = as_written(read(read_onnx(file)))
    for engine in ENGINES:
        mine = dict(execute(program, {"input": x}, all_tensors=True, engine=engine).tensors)
        assert differing(mine, theirs) == [], engine


def fused_results(network: Labelled, rows: int) -> tuple[int, list[str], list[str]]:
    """How many fused nodes equal ONNX Runtime's kernel for them, which do not, and which have none."""
    graph = network.graph(rows, small=True)
    x = network.sample(graph.tensors[graph.inputs[0]].shape[0])
    program = as_written(graph)
    values = execute(program, {graph.inputs[0]: x}, all_tensors=True, engine="reference").tensors
    equal, wrong, unjudged = 0, [], []
    for step in (s for layer in program.layers for s in layer.steps):
        operands = [None if t is None else t.constant.array if t.constant is not None else values[t.name] for t in step.inputs]
        theirs = fused_by_onnxruntime(step, operands) if step.integer else None
        if theirs is None:
            unjudged.append(step.op)
        elif np.array_equal(theirs, values[step.outputs[0].name]):
            equal += 1
        else:
            wrong.append(step.name)
    return equal, wrong, unjudged


@needs_vnni
@pytest.mark.parametrize("name", QDQ)
def test_qdq_integer_every_fused_node(name: str, say: Say) -> None:
    equal, wrong, unjudged = fused_results(QDQ[name], 2)
    say(f"{name}: {equal} fused nodes equal ONNX Runtime's integer kernels; without such a kernel: {', '.join(unjudged)}")
    assert wrong == []
    assert set(unjudged) <= {"slice", "pad", "reshape", "transpose", "dequantize", "softmax", "resize"}


def literal_differences(network: Labelled) -> tuple[float, int, float, int]:
    """Share of differing elements and largest difference in LSB over all quantized tensors: isolated, and cumulative."""
    graph = network.graph(1, "literal", small=True)
    feeds = {graph.inputs[0]: network.sample(1)}
    program = as_written(graph)
    mine = execute(program, feeds, all_tensors=True, engine="reference").tensors
    theirs: dict[str, Any] = {**all_tensors(onnx.load(network.path), feeds), **feeds}
    isolated, cumulative = _Tally(), _Tally()
    for step in (s for layer in program.layers for s in layer.steps):
        t = step.outputs[0]
        if step.op != "quantize" or t.name not in theirs:
            continue
        cumulative.add(mine[t.name], theirs[t.name])
        isolated.add(_alone(program, step, theirs), theirs[t.name])
    return isolated.share, isolated.largest, cumulative.share, cumulative.largest


class _Tally:
    def __init__(self) -> None:
        self.elements = self.differing = self.largest = 0

    def add(self, a: Array, b: Array) -> None:
        d = np.abs(a.astype(int) - b.astype(int))
        self.elements, self.differing, self.largest = (
            self.elements + d.size,
            self.differing + int((d > 0).sum()),
            max(self.largest, int(d.max())),
        )

    @property
    def share(self) -> float:
        return self.differing / self.elements


def _alone(program: Any, quantizer: Any, theirs: dict[str, Array]) -> Array:
    """The operator before a quantizer, and the quantizer, on ONNX Runtime's own inputs."""
    from hwsim.steps.execute import run_step

    maker = next((s for layer in program.layers for s in layer.steps if s.outputs[0].name == quantizer.node.inputs[0]), None)
    real = theirs[quantizer.node.inputs[0]] if maker is None else None
    if maker is not None:
        operands = [None if t is None else t.constant.array if t.constant is not None else theirs[t.name] for t in maker.inputs]
        real = run_step(maker, operands)[0][0]
    return run_step(quantizer, [real])[0][0]


@pytest.mark.parametrize("name", QDQ)
def test_qdq_literal_within_one_step(name: str, say: Say) -> None:
    share, largest, together, most = literal_differences(QDQ[name])
    say(
        f"{name} literal: each node on ONNX Runtime's inputs {100 * share:.4f} % of elements differ, by {largest} LSB at most; "
        f"whole network {100 * together:.4f} %, {most} LSB"
    )
    assert largest <= 1
    assert share < 0.001


@pytest.mark.parametrize("name", QDQ)
@pytest.mark.parametrize("qdq", ["integer", "literal"])
def test_both_executors_agree_exactly(name: str, qdq: str) -> None:
    graph = QDQ[name].graph(1, qdq, small=True)
    feeds = {graph.inputs[0]: QDQ[name].sample(1)}
    program = as_written(graph)
    a, b = (dict(execute(program, feeds, all_tensors=True, engine=e).tensors) for e in ENGINES)
    assert differing(a, b) == []


def outputs_of(program: Any, x: Array) -> Array:
    """A network's outputs on all rows, batch by batch."""
    graph, run = program.graph, executor(program)
    size = graph.tensors[graph.inputs[0]].shape[0]
    return np.concatenate([run({graph.inputs[0]: x[i : i + size]}).tensors[graph.outputs[0]] for i in range(0, len(x), size)])


@pytest.mark.slow
@pytest.mark.parametrize("name", QDQ)
def test_accuracy_beside_onnxruntime(name: str, say: Say) -> None:
    network = QDQ[name]
    x, y = network.rows()
    size = network.graph(1).tensors[network.graph(1).inputs[0]].shape[0]
    found = {}
    for title, optimize in (("ONNX Runtime", False), ("ONNX Runtime optimized", True)):
        runtime = session(onnx.load(network.path).SerializeToString(), optimize)
        feed = runtime.get_inputs()[0].name
        found[title] = np.concatenate([runtime.run(None, {feed: x[i : i + size]})[0] for i in range(0, len(x), size)])
    found |= {qdq: outputs_of(as_written(network.graph(1, qdq)), x) for qdq in ("integer", "literal")}
    scores = {k: score(v, y, network.metric).value for k, v in found.items()}
    say(f"{name}, {len(x)} rows, {network.metric}: " + ", ".join(f"{k} {v:.4f}" for k, v in scores.items()))
    allowed = 0.003 if network.metric != "mse" else 0.003 * scores["ONNX Runtime"]
    assert abs(scores["integer"] - scores["ONNX Runtime"]) <= allowed
    assert abs(scores["literal"] - scores["ONNX Runtime"]) <= allowed
