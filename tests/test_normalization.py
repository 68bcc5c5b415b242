"""Layer and RMS normalization: both executors bit-equal to ONNX Runtime, which has kernels of its own for long and for short rows."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwsim import load_arch
from hwsim.graph import Graph
from hwsim.io.onnx_model import source_of
from hwsim.quant import Array
from hwsim.quantizing import quantize_for
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.judges import session
from tests.steps import ENGINES

ROWS = [((3, 1), 1), ((6, 7), 1), ((4, 8), -1), ((5, 15), 1), ((9, 16), 1), ((1, 5, 31), -1), ((7, 100), 1), ((2, 3, 5, 7), 2)]


def one_node(kind: str, shape: tuple[int, ...], axis: int, parts: dict[str, Array], epsilon: float = 1e-5) -> onnx.ModelProto:
    """A model of one normalization with constant scale and shift."""
    node = helper.make_node(kind, ["x", *parts], ["y"], axis=axis, epsilon=epsilon)
    ends = [[helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape)] for n in "xy"]
    graph = helper.make_graph([node], "one", *ends, [numpy_helper.from_array(v, n) for n, v in parts.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def graph_of(model: onnx.ModelProto) -> Graph:
    return read(source_of(model, "one", "0" * 64))


def drawn(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Array:
    """Numbers whose rows are of all sizes."""
    rows = 10.0 ** rng.uniform(-4, 4, (*shape[:axis], *[1] * len(shape[axis:])))
    return (rng.normal(0.3, 1, shape) * rows).astype(np.float32)


@pytest.mark.parametrize(("shape", "axis"), ROWS)
@pytest.mark.parametrize("kind", ["LayerNormalization", "LayerNormalization without shift", "RMSNormalization"])
def test_equals_onnxruntime(kind: str, shape: tuple[int, ...], axis: int) -> None:
    """The compiled kernel, NumPy and ONNX Runtime 1.32 on a processor with AVX2; rows whose numbers cancel show the order of their sums."""
    rng = np.random.default_rng(sum(shape))
    parts = {n: rng.normal(1, 0.3, shape[axis:]).astype(np.float32) for n in ("scale", "shift")}
    if kind != "LayerNormalization":
        del parts["shift"]
    model = one_node(kind.split(" ")[0], shape, axis, parts)
    x = drawn(rng, shape, axis)
    x[0] += np.float32(1e9) * rng.choice([-1, 1], x[0].shape).astype(np.float32)
    program = as_written(graph_of(model))
    wanted = session(model).run(None, {"x": x})[0]
    for engine in ENGINES:
        assert np.array_equal(execute(program, {"x": x}, engine=engine).tensors["y"], wanted), engine
    assert all(s.step is None for s in assemble(program).segments)


def test_scales_that_differ_from_row_to_row() -> None:
    """They broadcast over the rows: no kernel takes them, and the executors agree."""
    rng = np.random.default_rng(5)
    x, scale = rng.normal(0, 1, (4, 3, 9)).astype(np.float32), rng.normal(1, 0.3, (4, 1, 9)).astype(np.float32)
    program = as_written(graph_of(one_node("LayerNormalization", x.shape, 2, {"scale": scale})))
    a, b = (execute(program, {"x": x}, engine=e).tensors["y"] for e in ENGINES)
    whole = as_written(graph_of(one_node("LayerNormalization", x[0].shape, 1, {"scale": scale[2, 0]})))
    assert np.array_equal(a, b)
    assert np.array_equal(a[2], execute(whole, {"x": x[2]}).tensors["y"])


def test_a_quantized_network_with_normalizations() -> None:
    """Layer normalizations between the layers that are quantized, from the float network to both executors."""
    rng, net = np.random.default_rng(6), Net("normalized", 0)
    x = net.input("input", (1, 12, 24))
    x = net.add(x, net.linear(net.gelu(net.linear(net.layer_norm(x), 40)), 24))
    source = net.finish(net.linear(net.layer_norm(x), 10))
    samples = rng.normal(0, 1, (1, 12, 24)).astype(np.float32)
    done = quantize_for(load_arch("fbgemm_x86"), source, samples, "w8a8", "minmax")
    program = as_written(read(done.network, {"input": samples.shape}))
    a, b = (execute(program, {"input": samples}, engine=e).tensors for e in ENGINES)
    assert all(np.array_equal(a[n], b[n]) for n in a)
    assert [s.step.op for s in assemble(program).segments if s.step is not None] == []
