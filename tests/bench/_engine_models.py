"""The networks and operators that the engine is measured on, and both ways to run them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwsim.io.onnx_model import read_onnx
from hwsim.steps.assemble import assemble
from hwsim.steps.assembly import Assembly
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.bench._clock import Call
from tests.judges import MICROSOFT, all_tensors, session
from tests.test_onnxruntime import quantized_by_onnxruntime

Array = np.ndarray[Any, Any]
IMAGE = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)


@cache
def network_file(name: str, signed: bool, form: str) -> Path:
    """A classic ImageNet network with random weights, quantized by ONNX Runtime's own quantizer."""
    return quantized_by_onnxruntime(name, signed, Path(mkdtemp()), IMAGE, form)


def assembled(model: Any) -> Assembly:
    """hwsim's program for an ONNX file or model, in the arithmetic of the file."""
    if isinstance(model, onnx.ModelProto):
        path = Path(mkdtemp()) / "one.onnx"
        onnx.save(model, path)
        model = path
    return assemble(as_written(read(read_onnx(model))))


def both(model: Any, feeds: dict[str, Array]) -> tuple[Call, Call]:
    """ONNX Runtime (all optimizations, one thread) and hwsim on the same inputs."""
    raw = model.SerializeToString() if isinstance(model, onnx.ModelProto) else Path(model).read_bytes()
    theirs, ours = session(raw, optimize=True), assembled(model)
    return lambda: theirs.run(None, feeds), lambda: ours.run(feeds)


def equal_tensors(file: Path, feeds: dict[str, Array]) -> int:
    """How many tensors ONNX Runtime makes, all of which hwsim finds equal."""
    graph = read(read_onnx(file))
    mine = execute(as_written(graph), feeds, all_tensors=True).tensors
    theirs = {t: a for t, a in all_tensors(onnx.load(file), feeds).items() if t in graph.tensors}
    assert (differing := [t for t, a in theirs.items() if not np.array_equal(mine[t], a)]) == [], differing
    return len(theirs)


def one_node(kind: str, inputs: list[tuple[str, Array | tuple[int, ...], Any]], output: Any, domain: str = "", **attrs: Any) -> Any:
    """A model of one node; an input given as a shape is fed, the others are constants."""
    fed = [helper.make_tensor_value_info(n, t, a) for n, a, t in inputs if isinstance(a, tuple)]
    held = [numpy_helper.from_array(np.asarray(a), n) for n, a, _ in inputs if not isinstance(a, tuple)]
    node = helper.make_node(kind, [n for n, _, _ in inputs], ["y"], domain=domain, **attrs)
    graph = helper.make_graph([node], "one", fed, [helper.make_tensor_value_info("y", output, None)], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid(MICROSOFT, 1)])
    model.ir_version = 9
    return model


def gemm(rows: int, depth: int, columns: int) -> Any:
    """QLinearMatMul of uint8 by int8."""
    w = np.random.default_rng(1).integers(-127, 128, (depth, columns)).astype(np.int8)
    f32, u8 = TensorProto.FLOAT, TensorProto.UINT8
    inputs = [
        ("a", (rows, depth), u8),
        ("as", np.float32(0.02), f32),
        ("az", np.uint8(3), u8),
        ("b", w, None),
        ("bs", np.float32(0.01), f32),
    ]
    inputs += [("bz", np.int8(0), None), ("ys", np.float32(3.0), f32), ("yz", np.uint8(120), u8)]
    return one_node("QLinearMatMul", inputs, u8)


def gemm_integer(model: Any) -> Any:
    """MatMulInteger of the same matrices."""
    w = next(numpy_helper.to_array(i) for i in model.graph.initializer if i.name == "b")
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    return one_node("MatMulInteger", [("a", shape, TensorProto.UINT8), ("b", w, None)], TensorProto.INT32)


def depthwise(channels: int, size: int, stride: int) -> Any:
    """QLinearConv 3 x 3 with one channel per group."""
    rng = np.random.default_rng(2)
    w, scale = rng.integers(-127, 128, (channels, 1, 3, 3)).astype(np.int8), rng.uniform(0.01, 0.02, channels).astype(np.float32)
    bias, u8 = rng.integers(-900, 900, channels).astype(np.int32), TensorProto.UINT8
    inputs = [("x", (1, channels, size, size), u8), ("xs", np.float32(0.02), None), ("xz", np.uint8(3), None), ("w", w, None)]
    inputs += [("ws", scale, None), ("wz", np.zeros(channels, np.int8), None), ("ys", np.float32(0.1), None), ("yz", np.uint8(5), None)]
    attrs = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4, "group": channels}
    return one_node("QLinearConv", [*inputs, ("b", bias, None)], u8, **attrs)


def channels_last(model: Any) -> Any:
    """A QLinearConv on channels-last images, in ONNX Runtime's own domain."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node, given = made.graph.node[0], made.graph.input[0].type.tensor_type.shape
    node.domain = MICROSOFT
    node.attribute.append(helper.make_attribute("channels_last", 1))
    n, c, h, w = (d.dim_value for d in given.dim)
    for d, size in zip(given.dim, (n, h, w, c), strict=True):
        d.dim_value = size
    return made
