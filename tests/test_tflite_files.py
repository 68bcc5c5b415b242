"""Reading TFLite files: what a file means, and what is refused with one clear line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.tflite_model import network_of, read_tflite
from hwsim.io.tflite_operators import translate
from hwsim.quantizing import quantize_for
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.data import shared
from tests.tflite_models import CASES, Model, quant, schema


def graph_of(data: bytes) -> Graph:
    return read(translate(network_of(data, "file")))


def small_network() -> Model:
    """Two convolutions of an image, a mean over it, a fully connected layer: 1 x 6 x 6 x 2 int8 to 1 x 3."""
    rng, m, q = np.random.default_rng(0), Model(), quant(0.1, 3)
    x = m.input([1, 6, 6, 2], "int8", q)
    window = {"padding": 0, "strideH": 1, "strideW": 1}
    for _ in range(2):
        w = m.tensor([2, 3, 3, 2], "int8", quant([0.02, 0.03]), rng.integers(-90, 90, (2, 3, 3, 2)))
        b, y = m.tensor([2], "int32", quant([0.002, 0.003]), rng.integers(-90, 90, 2)), m.tensor([1, 6, 6, 2], "int8", q)
        m.operator("CONV_2D", [x, w, b], [y], "Conv2D", 5, fusedActivationFunction=3, **window)
        x = y
    mean = m.tensor([1, 2], "int8", q)
    m.operator("MEAN", [x, m.numbers([1, 2])], [mean], "Reducer", 2)
    w, y = m.tensor([3, 2], "int8", quant(0.05), rng.integers(-90, 90, (3, 2))), m.tensor([1, 3], "int8", q)
    return m.operator("FULLY_CONNECTED", [mean, w], [y], "FullyConnected", 4)


def test_images_are_turned_once() -> None:
    """Between image operators nothing is moved; layouts change at the ends alone, and cost nothing on a chip."""
    graph = graph_of(small_network().bytes())
    assert [n.op for n in graph.nodes] == ["transpose", "conv", "conv", "reduce", "matmul"]
    assert graph.nodes[0].attrs["layout"]
    cost = hwsim.estimate(hwsim.load_arch("snpe_dsp"), graph)
    assert sum(cost.layers[0].cycles.values()) == 0


def test_any_batch() -> None:
    graph = graph_of(small_network().bytes())
    x = np.random.default_rng(1).integers(-128, 128, (5, 6, 6, 2)).astype(np.int8)
    together = hwsim.execute(graph, {"t0": x})[graph.outputs[0]]
    alone = np.concatenate([hwsim.execute(graph, {"t0": row[None]}, engine="reference")[graph.outputs[0]] for row in x])
    assert together.shape == (5, 3) and np.array_equal(together, alone)


def test_fused_activations_bound_stored_numbers() -> None:
    graph = graph_of(small_network().bytes())
    assert [n.attrs.get("clip") for n in graph.nodes if n.op == "conv"] == [(0.0, 6.0)] * 2
    y = hwsim.execute(graph, {"t0": np.full((1, 6, 6, 2), 127, np.int8)}, all_tensors=True)["t3.nchw"]
    assert y.min() >= 3 and y.max() <= 63


def test_int4_weights_are_low_nibble_first() -> None:
    m = Model()
    x, w = m.input([1, 3], "int8", quant(1.0)), m.tensor([1, 3], "int4", quant(1.0), np.array([[-8, 7, 1]]))
    graph = graph_of(m.operator("FULLY_CONNECTED", [x, w], [m.tensor([1, 1], "int8", quant(1.0))], "FullyConnected", 4).bytes())
    for i, weight in enumerate((-8, 7, 1)):
        assert hwsim.execute(graph, {"t0": np.eye(3, dtype=np.int8)[i : i + 1]})["t2"].item() == weight


def test_reading_a_float_file_into_stored_numbers_elsewhere() -> None:
    """A float TFLite file is ONNX's operators on real tensors, so that what quantizes one quantizes the other."""
    m = Model()
    x = m.input([1, 4, 4, 2], "float32")
    w, b = m.tensor([3, 1, 1, 2], "float32", None, np.ones((3, 1, 1, 2))), m.tensor([3], "float32", None, np.zeros(3))
    y = m.tensor([1, 4, 4, 3], "float32")
    source = translate(
        network_of(m.operator("CONV_2D", [x, w, b], [y], "Conv2D", 1, strideH=1, strideW=1, fusedActivationFunction=1).bytes(), "f")
    )
    assert Counter(n.kind for n in source.nodes) == Counter(["Transpose", "Conv", "Relu", "Transpose"])
    out = hwsim.execute(read(source), {"t0": np.full((1, 4, 4, 2), -1, np.float32)})["t3"]
    assert not out.any()


# Refused -----------------------------------------------------------------------------------------------------------------------------


def test_files_of_another_kind(tmp_path: Path) -> None:
    for data, found in (
        (b"", "a file of another kind"),
        (b"\x08\x00\x00\x00TFL3", "one with broken references"),
        (b"hello world", "another kind"),
    ):
        file = tmp_path / "x.tflite"
        file.write_bytes(data)
        with pytest.raises(HwsimError, match=found):
            read_tflite(file)
    with pytest.raises(HwsimError, match="must be a file that can be read"):
        hwsim.load_model(tmp_path / "none.tflite")


def test_operators_that_are_not_known() -> None:
    m = Model()
    m.operator("FLOOR_DIV", [m.input([1], "float32")], [m.tensor([1], "float32")])
    with pytest.raises(HwsimError, match=r"operators must be ones that hwsim reads, not FLOOR_DIV"):
        graph_of(m.bytes())


def _conv(**changed: object) -> Model:
    m = Model()
    x, w = m.input([1, 4, 4, 2], "int8", quant(1.0)), m.tensor([3, 1, 1, 2], "int8", quant(1.0), np.ones((3, 1, 1, 2)))
    bias = m.tensor([3], "int32", quant(1.0), np.zeros(3))
    fields = {"strideH": 1, "strideW": 1, **changed}
    return m.operator("CONV_2D", [x, w, bias], [m.tensor([1, 4, 4, 3], "int8", quant(1.0))], "Conv2D", 5, **fields)


def _missing_weights() -> Model:
    m = _conv()
    m.graph.operators[0].inputs = m.graph.operators[0].inputs[:1]
    return m


def _computed_weights() -> Model:
    m = _conv()
    m.graph.tensors[1].buffer, m.graph.inputs = 0, [0, 1]
    return m


def _short_buffer() -> Model:
    m = _conv()
    m.file.buffers[1].data = m.file.buffers[1].data[:4]
    return m


def _scale(value: float) -> Model:
    m = _conv()
    m.graph.tensors[0].quantization.scale = np.array([value], np.float32)
    return m


def _channels() -> Model:
    m = _conv()
    m.graph.tensors[1].quantization = quant([1.0, 2.0])
    return m


def _no_image() -> Model:
    m = _conv()
    m.graph.operators[0].inputs[0] = m.tensor([], "int8", quant(1.0), np.array(3))
    return m


def _two_graphs() -> Model:
    m = _conv()
    m.file.subgraphs.append(schema.SubGraphT())
    return m


def _text() -> Model:
    m = _conv()
    m.graph.tensors[0].type = schema.TensorType.STRING
    return m


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (_missing_weights, "operator 'CONV_2D_0': must have 2 inputs and an output, not 1 and 1"),
        (_computed_weights, "operator 'CONV_2D_0': the weights must be a constant, not the computed tensor 't1'"),
        (_short_buffer, "tensor 't1': must hold 6 bytes for shape (3, 1, 1, 2) of int8, not 4"),
        (lambda: _scale(-1.0), "tensor 't0': must have scales that are finite and positive, not -1.0"),
        (lambda: _scale(np.nan), "tensor 't0': must have scales that are finite and positive, not nan"),
        (_channels, "tensor 't1': must have a scale and zero point for each entry of axis 0 of (3, 1, 1, 2), not 2, 2"),
        (
            lambda: _conv(fusedActivationFunction=5),
            "operator 'CONV_2D_0': the fused activation must be none, RELU, RELU_N1_TO_1 or RELU6, not 5",
        ),
        (lambda: _conv(strideH=0), "node 'CONV_2D_0' (Conv): strides must be 2 numbers of 1 or more, not [0, 1]"),
        (lambda: _conv(padding=7), "operator 'CONV_2D_0': the padding must be SAME or VALID, not 7"),
        (_no_image, "operator 'CONV_2D_0': the input must be images of 4 dimensions, not shape ()"),
        (_two_graphs, "file: must hold one network, not 2 subgraphs; control flow must be unrolled first"),
        (_text, "tensor 't0': must be of a type among"),
    ],
    ids=lambda v: v.split(":")[0] if isinstance(v, str) else "",
)
def test_refused(model: object, complaint: str) -> None:
    with pytest.raises(HwsimError, match=re.escape(complaint)):
        graph_of(model().bytes())  # type: ignore[operator]


def test_damaged_files_are_refused_or_read() -> None:
    """Cut off anywhere, or with bytes changed: never anything but a network or one clear line."""
    outcomes: Counter[str] = Counter()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        data = bytearray(CASES[list(CASES)[seed % len(CASES)]](rng).bytes())
        if seed % 3:
            for place in rng.integers(8, len(data), rng.integers(1, 6)):
                data[place] = rng.choice([0, 1, 127, 128, 255])
        else:
            data = data[: rng.integers(len(data))]
        try:
            graph_of(bytes(data))
            outcomes["read"] += 1
        except HwsimError:
            outcomes["refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 20


def test_the_schema_is_loaded_when_it_is_needed() -> None:
    program = "import sys, hwsim, hwsim.cli; sys.exit('tflite' in sys.modules or 'flatbuffers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_float_network_is_quantized_like_any_other() -> None:
    """Weights stored in 8 bits count as real, and what comes out is a QDQ network whose layers run in integers."""
    source = read_tflite(shared("models/mlperf_tiny/models/kws_ref_model_float32.tflite"))
    x = np.random.default_rng(0).normal(0, 40, (8, 49, 10, 1)).astype(np.float32)
    network = quantize_for(load_arch("snpe_dsp"), source, x, "w8a8", "minmax").network
    steps = [s for layer in as_written(read(network)).layers for s in layer.steps]
    assert network.arithmetic == "onnxruntime"
    assert {s.op for s in steps if not s.integer} <= {"softmax"}
    assert sum(s.op in ("conv", "matmul") for s in steps) == 10
