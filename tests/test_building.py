"""Networks at any precision: what is written is read back as it was meant, and ONNX Runtime computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim.building import build_network
from hwsim.errors import HwsimError
from hwsim.io.onnx_model import model_proto, source_of, write_onnx
from hwsim.steps.containers import narrow, widen
from hwsim.steps.read import read

WIDTHS = ["w8a8", "w4a8", "w2a8", "w3a8", "w5a7", "w6a6", "w4a4", "w8a16", "w12a12", "w16a16"]


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_layer_has_the_width_that_was_asked_for(bits: str, tmp_path: Path) -> None:
    file = tmp_path / "q.onnx"
    write_onnx(build_network("resnet8", bits), file)
    onnx.checker.check_model(onnx.load(file), full_check=True)
    result = hwsim.run(hwsim.load_arch("hexagon_v73"), hwsim.load_model(file))
    assert result.precision == bits


@pytest.mark.parametrize("bits", ["fp32", "fp16", "bf16", "w4fp16", "w8fp32"])
def test_real_networks_run_and_are_priced(bits: str, tmp_path: Path) -> None:
    file = tmp_path / "f.onnx"
    write_onnx(build_network("resnet8", bits), file)
    onnx.checker.check_model(onnx.load(file))
    graph = hwsim.load_model(file)
    x = np.random.default_rng(0).standard_normal(graph.tensors[graph.inputs[0]].shape, np.float32)
    got = next(iter(hwsim.execute(graph, {graph.inputs[0]: x}).values()))
    want = next(iter(hwsim.execute(read(build_network("resnet8", "fp32")), {graph.inputs[0]: x}).values()))
    assert np.abs(got.astype(np.float32) - want).max() < (0.1 if bits.startswith("w4") else 0.02) * np.abs(want).max()
    cost = hwsim.estimate(hwsim.load_arch("hexagon_v73"), graph)
    assert cost.latency_s > 0
    assert cost.energy_j > 0


@pytest.mark.parametrize("bits", ["w8a8", "w4a8", "w3a8", "w5a7", "w6a6"])
def test_onnxruntime_agrees(bits: str) -> None:
    """Literal reading against ONNX Runtime with optimizations off; its float convolutions may round a tie the other way."""
    from tests.judges import session

    source = build_network("resnet8", bits, image=16)
    graph = read(source, qdq="literal")
    x = np.random.default_rng(1).standard_normal(graph.tensors["input"].shape, np.float32)
    got = next(iter(hwsim.execute(graph, {"input": x}).values()))
    want = session(model_proto(source)).run(None, {"input": x})[0]
    assert np.abs(got - want).max() <= 0.02 * np.abs(want).max()


@pytest.mark.parametrize("bits", ["fp8", "w1a8", "w8a32", "w8a1", "w8fp8"])
def test_what_onnx_cannot_hold_is_refused(bits: str) -> None:
    with pytest.raises(
        HwsimError, match=f"^--bits: must be a precision that ONNX can hold: 2 to 16 bits, fp32, fp16 or bf16, not '{bits}'$"
    ):
        build_network("resnet8", bits)


def test_widening_and_narrowing_are_inverse() -> None:
    source = build_network("resnet8", "w3a6")
    back = narrow(widen(source))
    odd = {k: t.format for k, t in source.tensors.items() if t.format in ("int3", "uint6")}
    assert odd
    assert {k: back.tensors[k].format for k in odd if k in back.tensors and not k.endswith("zero_point")} == {
        k: f for k, f in odd.items() if not k.endswith("zero_point")
    }
    assert [n.kind for n in back.nodes] == [n.kind for n in source.nodes]
    assert narrow(source) is source
    assert widen(build_network("resnet8", "w4a8")).nodes == build_network("resnet8", "w4a8").nodes


def _clipped(low: int, high: int, kind: str = "int8", zero: int = 0, **more: Any) -> Any:
    """QuantizeLinear, Clip, DequantizeLinear as Brevitas exports them, bounds in Constant nodes."""
    one = numpy_helper.from_array(np.asarray(0.25, np.float32), "scale")
    zeros = numpy_helper.from_array(np.asarray(zero, kind), "zero")
    nodes = [
        helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(np.asarray(low, kind))),
        helper.make_node("Constant", [], ["high"], value=numpy_helper.from_array(np.asarray(high, kind))),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("Clip", ["q", "low", "high"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "scale", "zero"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 64]) for n in "xy"]
    outputs = [values[1], *(helper.make_tensor_value_info(n, TensorProto.INT8, [1, 64]) for n in more.get("also", ()))]
    graph = helper.make_graph(nodes, "g", values[:1], outputs, [one, zeros])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("low", "high", "kind", "zero", "fmt", "held"),
    [
        (-8, 7, "int8", 0, "int4", (-8, 7)),
        (-7, 7, "int8", 0, "int4", (-7, 7)),
        (0, 63, "uint8", 5, "uint6", (0, 63)),
        (3, 60, "uint8", 9, "uint6", (3, 60)),
        (-127, 127, "int8", 0, "int8", (-127, 127)),
        (-1, 0, "int8", 0, "int2", (-1, 0)),
    ],
)
def test_a_clip_behind_a_quantizer_is_its_width(low: int, high: int, kind: str, zero: int, fmt: str, held: tuple[int, int]) -> None:
    from tests.judges import session

    model = _clipped(low, high, kind, zero)
    graph = read(source_of(model, "g", ""))
    quantized = graph.tensors["c"].quant
    assert quantized is not None
    assert (quantized.format.name, (quantized.qmin, quantized.qmax)) == (fmt, held)
    assert [n.op for n in graph.nodes] == ["quantize", "dequantize"]
    x = np.linspace(-40, 40, 64, dtype=np.float32).reshape(1, 64)
    for engine in ("reference", "numba"):
        assert np.array_equal(hwsim.execute(graph, {"x": x}, engine=engine)["y"], session(model).run(None, {"x": x})[0])


def test_a_clip_that_is_more_than_a_width_stays() -> None:
    """The wide number is an output too, and a zero point outside the bounds means that real 0 cannot be held."""
    for model in (_clipped(-8, 7, also=("q",)), _clipped(0, 63, "uint8", 64)):
        assert any(n.kind == "Clip" for n in narrow(source_of(model, "g", "")).nodes)


def test_an_old_opset_cannot_hold_narrow_types() -> None:
    from dataclasses import replace

    source = replace(build_network("resnet8", "w4a8"), opset=13)
    with pytest.raises(
        HwsimError, match=r"must be of opset 18 or more to be written with int4, not 13; convert it with onnx.version_converter"
    ):
        model_proto(source)
