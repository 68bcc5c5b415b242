"""Weights left in their file: the same network as protobuf reads, old numbers where the file is replaced, nothing kept that nobody uses."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.io.onnx_model import read_onnx
from hwsim.io.onnx_weights import cut_out
from hwsim.quant import Array


def model(weights: Array) -> bytes:
    """Gemm of one large and one small constant."""
    held = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.arange(4, dtype=np.float32), "b")]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in (("x", len(weights)), ("y", 4)))
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "g", [x], [y], held)
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return made


def weights(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((4096, 4), np.float32)


def test_what_is_cut_out_is_the_raw_data_alone() -> None:
    data, w = model(weights(0)), weights(0)
    small, spans = cut_out(data)
    assert list(spans) == [0] and len(small) < 1000
    offset, length = spans[0]
    assert data[offset : offset + length] == w.tobytes()
    whole, rest = onnx.load_from_string(data), onnx.load_from_string(small)
    whole.graph.initializer[0].ClearField("raw_data")
    assert rest == whole


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40, b"<html>not a model</html>", model(weights(0))[:-100]])
def test_what_is_no_model_is_left_alone(data: bytes) -> None:
    assert cut_out(data) == (data, {})


def test_a_replaced_file_does_not_change_a_network(tmp_path: Path) -> None:
    file, other = tmp_path / "m.onnx", tmp_path / "other"
    file.write_bytes(model(weights(0)))
    source = read_onnx(file)
    other.write_bytes(model(weights(1)))
    other.replace(file)
    constant = source.tensors["w"].constant
    assert constant is not None
    np.testing.assert_array_equal(constant.array, weights(0))


def test_large_numbers_are_let_go_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(model(weights(0)))
    constant = read_onnx(file).tensors["w"].constant
    assert constant is not None
    first = constant.array
    assert constant.array is first
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    np.testing.assert_array_equal(constant.array, weights(0))
