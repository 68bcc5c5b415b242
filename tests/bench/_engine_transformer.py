"""What a transformer is made of beside ONNX Runtime: its operators one by one, and a layer of ViT-B/16 as hwsim quantizes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwsim import load_arch
from hwsim.io.onnx_model import model_proto
from hwsim.quantizing import quantize_for
from hwsim.topologies._attention import feed_forward, joint_attention
from hwsim.topologies._net import Net
from tests.bench import _engine_models as models
from tests.bench._clock import Row, ratio
from tests.judges import MICROSOFT

Array = np.ndarray[Any, Any]
TOKENS, WIDTH, HEADS = 197, 768, 12
CHIP = "hexagon_v73"  # symmetric weights, every operator between quantizers
U8 = TensorProto.UINT8
GRID = [np.float32(0.02), np.uint8(3)]


def transformer() -> list[Row]:
    """Every output is equal to ONNX Runtime's; no least speed is wanted of these."""
    heads, tokens = (HEADS, TOKENS, TOKENS), (1, TOKENS, WIDTH)
    return [
        _row(f"layer normalization of {TOKENS} x {WIDTH}, uint8 to uint8", layer_norm((TOKENS, WIDTH))),
        _row(f"softmax of {HEADS} x {TOKENS} x {TOKENS}, uint8", softmax(heads)),
        _row(f"{HEADS} products of {TOKENS} x {WIDTH // HEADS} x {TOKENS}, uint8", products((HEADS, TOKENS, WIDTH // HEADS))),
        _row(f"a layer of ViT-B/16, w8a8 for {CHIP}", layer(tokens)),
    ]


def _row(title: str, model: onnx.ModelProto) -> Row:
    rng, feeds = np.random.default_rng(0), {}
    for value in model.graph.input:
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        stored = value.type.tensor_type.elem_type == U8
        feeds[value.name] = rng.integers(0, 256, shape).astype(np.uint8) if stored else rng.standard_normal(shape, np.float32)
    theirs, ours = models.both(model, feeds)
    assert np.array_equal(theirs()[0], ours().tensors[model.graph.output[0].name]), title
    found, words = ratio(theirs, ours)
    left = [s.step.op for s in models.assembled(model).segments if s.step is not None]
    return Row(f"{title}, against ONNX Runtime", found, 0, 0, f"{words}; steps left to NumPy: {', '.join(left) or 'none'}")


def layer_norm(shape: tuple[int, ...]) -> onnx.ModelProto:
    """DequantizeLinear, LayerNormalization, QuantizeLinear."""
    rng, value = np.random.default_rng(1), helper.make_tensor_value_info
    parts = {n: rng.normal(1, 0.1, shape[-1]).astype(np.float32) for n in ("scale", "shift")}
    held = [numpy_helper.from_array(np.asarray(v), n) for n, v in {**parts, "s": GRID[0], "z": GRID[1]}.items()]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["real"]),
        helper.make_node("LayerNormalization", ["real", *parts], ["normal"], axis=-1, epsilon=1e-6),
        helper.make_node("QuantizeLinear", ["normal", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "one", [value("x", U8, shape)], [value("y", U8, shape)], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def softmax(shape: tuple[int, ...]) -> onnx.ModelProto:
    grids = [("xs", np.float32(0.1), None), ("xz", GRID[1], None), ("ys", np.float32(1 / 256), None), ("yz", np.uint8(0), None)]
    return models.one_node("QLinearSoftmax", [("x", shape, U8), *grids], U8, MICROSOFT, axis=-1, opset=13)


def products(shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Queries by keys: both are computed."""
    sides = [(("a", shape, U8), "a"), (("b", (shape[0], shape[2], shape[1]), U8), "b"), (None, "y")]
    named = [part for side, n in sides for part in (*([side] if side else []), (f"{n}s", GRID[0], None), (f"{n}z", GRID[1], None))]
    return models.one_node("QLinearMatMul", named, U8)


def layer(shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Attention and a feed-forward network, each behind a normalization and beside a shortcut."""
    net = Net("layer", 0)
    x = net.input("input", shape)
    x = net.add(x, joint_attention(net, net.layer_norm(x, 1e-6), HEADS))
    x = net.add(x, feed_forward(net, net.layer_norm(x, 1e-6), 4 * WIDTH))
    samples = np.random.default_rng(2).standard_normal(shape, np.float32)
    done = quantize_for(load_arch(CHIP), net.finish(x), samples, "w8a8", "minmax")
    made: onnx.ModelProto = model_proto(done.network)
    return made
