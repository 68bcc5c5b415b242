"""`hwsim convert`: what hwsim holds as QDQ, QOperator or QONNX; other tools open it, and reading it back computes the same numbers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import hwsim
from hwsim.building import build_network
from hwsim.cli import app
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.model import read_model
from hwsim.io.onnx_model import held, model_proto, source_of
from hwsim.quant import Array
from hwsim.shelf import load, names
from hwsim.steps.convert import FORMS, convert
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read, with_batch
from tests.data import WORKLOADS, loaders, shared
from tests.judges import session
from tests.litert import Judged, random_input
from tests.qonnx_peer import DOMAIN, finn_cnv, run_qonnx
from tests.test_onnx_nodes import array_of
from tests.test_qonnx import small_network
from tests.tflite_models import CASES


def written(graph: Graph, form: str) -> tuple[Any, Graph]:
    """The converted network as a ModelProto, and as hwsim reads it back."""
    model = model_proto(convert(graph, form))
    shapes = {t: graph.tensors[t].shape for t in graph.inputs}
    return model, read(source_of(onnx.load_from_string(model.SerializeToString()), graph.name, "0" * 64), shapes)


def feeds_of(graph: Graph, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {t: random_input(rng, graph.tensors[t].format, graph.tensors[t].shape) for t in graph.inputs}


def differing(graph: Graph, back: Graph, feeds: dict[str, Array], engine: str = "numba") -> list[str]:
    """The tensors that are not equal: every one of the network is there in what is read back.

    In QONNX the stored numbers lie inside a Quant: they carry the name of its real output.
    """
    ours = execute(as_written(graph), feeds, all_tensors=True, engine=engine).tensors
    theirs = execute(as_written(back), feeds, all_tensors=True, engine=engine).tensors
    pairs = {t: next(n for n in _names(graph, t) if n in theirs) for t in ours}
    return [t for t, n in pairs.items() if not np.array_equal(ours[t], theirs[n], equal_nan=True)]


def _names(graph: Graph, name: str) -> list[str]:
    """What a tensor may be called in a converted network."""
    real = [n.outputs[0] for n in graph.consumers[name] if n.op == "dequantize"]
    return [name, f"{name}.real.stored", *(f"{r}.stored" for r in real)]


def largest_gap(graph: Graph, model: Any, feeds: dict[str, Array], optimize: bool = False) -> float:
    """How far ONNX Runtime's outputs are from hwsim's in ONNX Runtime's arithmetic, in steps of stored outputs."""
    source = replace(source_of(model, "judged", "0" * 64), arithmetic="onnxruntime")
    ours = execute(as_written(read(source, {t: graph.tensors[t].shape for t in graph.inputs})), feeds).tensors
    theirs = session(model, optimize).run(None, feeds)
    gaps = [np.abs(ours[t].astype(np.float64) - y.astype(np.float64)).max() for t, y in zip(graph.outputs, theirs, strict=True)]
    return float(max(gaps))


FILES = (
    "mlperf_tiny/models/pretrainedResnet_quant.tflite",
    "mlperf_tiny/models/kws_ref_model.tflite",
    "mlperf_tiny/models/vww_96_int8.tflite",
    "mlperf_tiny/models/ad01_int8.tflite",
    "mlperf_tiny/models/ad01_fp32.tflite",
    "mlperf_tiny/models/str_ww_ref_model.tflite",
    "imagenet_int8_tflite/mobilenet_v1_0.25_128_quant.tflite",
    "tflite_misc/keras_lstm_mnist_ptq.tflite",
    "mlperf_tiny/submissions/kj_resnet.onnx",
    "mlperf_tiny/submissions/kj_mobilenet_v1.onnx",
    "mlperf_tiny/submissions/kj_deep_autoencoder.onnx",
    "resnet_cifar10_float/resnet20_cifar10_int8_qdq.onnx",
    "resnet_cifar10_float/resnet20_cifar10_int8_qop.onnx",
    "qonnx_zoo/kwsmlp_w3a3.onnx",
    "qonnx_zoo/qkeras_jettagging.onnx",
    "qonnx_zoo/TFC_2W2A.onnx",
)
LARGE = (
    "imagenet_int8_tflite/mobilenet_v2_1.0_224_quant.tflite",
    "imagenet_int8_tflite/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "tflite_misc/deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w2a2.onnx",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w4a4.onnx",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w5a5.onnx",
    "imagenet_float/squeezenet_v1.1_int8_qdq.onnx",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", [*FILES, *(pytest.param(f, marks=pytest.mark.slow) for f in LARGE)], ids=lambda f: Path(f).stem)
def test_networks_come_back_the_same(file: str, form: str) -> None:
    graph = hwsim.load_model(shared(f"models/{file}"))
    model, back = written(graph, form)
    feeds = feeds_of(graph)
    assert differing(graph, back, feeds) == []
    assert back.source.arithmetic == graph.source.arithmetic
    if form != "qonnx":
        gap = largest_gap(graph, model, feeds, optimize=True)
        assert gap <= 1 or (form == "qdq" and file in LARGE), "in QDQ what ONNX Runtime fuses is its own choice: deep networks drift"
    if form == "qonnx" and graph.source.arithmetic == "qonnx":
        name = graph.outputs[0]
        np.testing.assert_allclose(run_qonnx(model, feeds), execute(as_written(graph), feeds).tensors[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["TFC_1W1A", "CNV_W1A1", "CNV_W2A2"])
def test_the_qonnx_package_computes_equal_outputs(name: str) -> None:
    model = finn_cnv(int(name[5])) if name.startswith("CNV") else onnx.load(shared(f"models/qonnx_zoo/{name}.onnx"))
    graph = read(source_of(model, name, "0" * 64))
    feeds = {t: np.sign(x) for t, x in feeds_of(graph).items()}
    again, back = written(graph, "qonnx")
    assert differing(graph, back, feeds) == []
    assert np.array_equal(run_qonnx(again, feeds), execute(as_written(graph), feeds).tensors[graph.outputs[0]])


@pytest.mark.parametrize("form", FORMS)
def test_networks_by_a_chips_rules(form: str) -> None:
    """Symmetric activations: behind an integer operator a Relu is a Clip of stored numbers."""
    graph = read(build_network("resnet8", "w8a8", None, load_arch("tensorrt_t4").quantization))
    model, back = written(graph, form)
    feeds = feeds_of(graph)
    assert differing(graph, back, feeds) == []
    if form == "qoperator":
        assert {"QLinearConv", "Clip"} <= {n.op_type for n in model.graph.node}
        assert largest_gap(graph, model, feeds) <= 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_qonnx_of_any_width_and_rounding(seed: int) -> None:
    """Random networks of Quant, MultiThreshold and Trunc: written again they are the same to hwsim and to the qonnx package."""
    layers = small_network(seed)
    layers.add("Trunc", 1.0, 0, 12, 8, domain=DOMAIN, rounding_mode="FLOOR") if seed % 2 else None
    graph = read(source_of(layers.model(5), "small", "0" * 64))
    x = {graph.inputs[0]: np.random.default_rng(seed).integers(-40, 40, (2, 3, 8, 8)).astype(np.float32) / 16}
    model, back = written(graph, "qonnx")
    assert differing(graph, back, x) == []
    assert np.array_equal(run_qonnx(model, x), execute(as_written(graph), x).tensors[graph.outputs[0]])


@pytest.mark.parametrize(
    ("name", "bits", "opset"), [("resnet8", "w4a8", 21), ("resnet8", "w2a4", 25), ("ds_cnn", "w3a5", 21), ("fc_autoencoder", "w4a16", 21)]
)
def test_narrow_widths_in_qdq(name: str, bits: str, opset: int) -> None:
    """4 and 2 bits have types of their own; other widths are a Clip within the next wider one."""
    graph = read(build_network(name, bits))
    model, back = written(graph, "qdq")
    assert model.opset_import[0].version >= opset
    assert {t.format for t in back.tensors.values() if t.quant} == {t.format for t in graph.tensors.values() if t.quant}
    feeds = feeds_of(graph)
    assert differing(graph, back, feeds) == []
    if "16" not in bits:
        assert largest_gap(graph, model, feeds) <= 1e-3


@pytest.mark.parametrize("case", CASES)
def test_tflite_operators_come_back_the_same(case: str) -> None:
    rng = np.random.default_rng(sum(map(ord, case)))
    graph = Judged(CASES[case](rng).bytes(), case).graph
    if case in ("SVDF int8", "CONV_2D hybrid", "FULLY_CONNECTED hybrid"):
        with pytest.raises(HwsimError, match="must be an operator of ONNX to be written, not"):
            convert(graph, "qdq")
        return
    if any(n.attrs.get("beta", 1.0) != 1 for n in graph.nodes):
        with pytest.raises(HwsimError, match=r"beta must be 1\.0 to be written as ONNX, not"):
            convert(graph, "qdq")
        return
    _, back = written(graph, "qdq")
    assert differing(graph, back, feeds_of(graph), "reference") == []


def test_int16_files_come_back_the_same() -> None:
    """The 127 published int16 operators; 64-bit biases are the real constants that round to them.  ONNX quantizes nothing to int32."""
    wrong, refused = [], []
    for name, case in loaders().seanet().items():
        graph = Judged(case["model"], name).graph
        if name == "quantize1":
            with pytest.raises(HwsimError, match="must be of a type that ONNX quantizes, not int32"):
                convert(graph, "qdq")
            refused.append(name)
            continue
        _, back = written(graph, "qdq")
        wrong += [name] if differing(graph, back, feeds_of(graph)) else []
    assert wrong == []
    assert len(refused) <= 1


@pytest.mark.slow
def test_every_operator_of_onnx_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX's own node tests, of which hwsim reads these: each written as QDQ and read back computes the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
        checked = {c.name: _comes_back(c) for c in cases}
    count = len([v for v in checked.values() if v is not None])
    wrong = [k for k, v in checked.items() if v is False]
    with capsys.disabled():
        print(f"\nONNX node tests: of {len(cases)} hwsim reads {count}, and {count - len(wrong)} come back the same")
    assert wrong == []
    assert count >= 1200


def _comes_back(case: Any) -> bool | None:
    """None where hwsim does not read the case."""
    try:
        inputs = case.data_sets[0][0]
        source = source_of(case.model, case.name, "0" * 64)
        given = zip(case.model.graph.input, inputs, strict=False)
        fed = {v.name: held(array_of(a), source.tensors[v.name].format) for v, a in given if v.name}
        graph, feeds = _graph_of(source, fed)
        ours = execute(as_written(graph), feeds).tensors
    except (HwsimError, AttributeError):
        return None
    _, back = written(graph, "qdq")
    theirs = execute(as_written(back), feeds).tensors
    return all(np.array_equal(ours[t].astype(np.float64), theirs[t].astype(np.float64), equal_nan=True) for t in graph.outputs)


def _graph_of(source: Any, fed: dict[str, Array]) -> tuple[Graph, dict[str, Array]]:
    """The case with its inputs fed, or all but the first given as constants where hwsim must know them."""
    try:
        return read(source, {k: a.shape for k, a in fed.items()}), fed
    except HwsimError:
        first = dict([*fed.items()][:1])
        return read(source, {k: a.shape for k, a in first.items()}, {k: a for k, a in fed.items() if k not in first}), first


def test_every_op_is_written() -> None:
    """But for views of stored numbers, and shapes, which are never nodes of a file."""
    assert [n for n in names("ops") if not hasattr(load("ops", n), "write")] == ["reinterpret", "shape"]


def test_an_open_batch_stays_open() -> None:
    for file in (WORKLOADS / "digits_resnet_w8a8.onnx", shared("models/mlperf_tiny/models/kws_ref_model.tflite")):
        graph = hwsim.load_model(file)
        for form in FORMS:
            source = convert(graph, form)
            assert all(isinstance(source.tensors[t].shape[0], str) for t in source.inputs)  # type: ignore[index]
            back, seven = with_batch(read(source), 7), with_batch(graph, 7)
            assert differing(seven, back, feeds_of(seven)) == []


def test_what_a_form_cannot_say() -> None:
    """One error names all nodes."""
    path = shared("models/qonnx_zoo/TFC_1W1A.onnx")
    graph = read(read_model(path))
    with pytest.raises(HwsimError) as e:
        convert(graph, "qdq")
    assert str(e.value).startswith("TFC_1W1A: must be expressible as qdq, not 4 of its nodes | node 'BipolarQuant_11'")
    assert str(e.value).count("must not store signs alone to be a QuantizeLinear, not bipolar") == 4
    with pytest.raises(HwsimError, match="must have 8-bit operands to be a QOperator, not uint4, int4, uint4"):
        convert(read(build_network("resnet8", "w4a4")), "qoperator")
    with pytest.raises(HwsimError, match="form: must be one of qdq, qoperator, qonnx, not 'qopp'"):
        convert(graph, "qopp")


def test_the_command(tmp_path: Path) -> None:
    source, out = WORKLOADS / "digits_resnet_w8a8.onnx", tmp_path / "q.onnx"
    done = CliRunner().invoke(app, ["convert", "--model", str(source), "-o", str(out), "--to", "qoperator"])
    assert done.exit_code == 0, done.output
    assert "QLinearConv" in {n.op_type for n in onnx.load(out).graph.node}
    graph = hwsim.load_model(source)
    assert differing(graph, hwsim.load_model(out), feeds_of(graph)) == []


def test_metadata_must_make_sense(tmp_path: Path) -> None:
    model = model_proto(convert(hwsim.load_model(shared("models/mlperf_tiny/models/kws_ref_model.tflite")), "qdq"))
    model.metadata_props[0].value = "litert"
    with pytest.raises(HwsimError, match=r"metadata 'hwsim.arithmetic': must be one of ascend, .*, not 'litert'"):
        source_of(model, "kws", "0" * 64)
    model.metadata_props[0].value = "litert_ref"
    noted = next(n for n in model.graph.node if n.metadata_props)
    noted.metadata_props[0].value = "much"
    with pytest.raises(HwsimError, match="must have numbers in the metadata of hwsim, not 'much'"):
        source_of(model, "kws", "0" * 64)
