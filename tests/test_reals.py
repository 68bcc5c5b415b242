"""Compiled steps on float32 numbers between the stored ones: equal to NumPy bit for bit, and judged by ONNX Runtime."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.graph import Constant, Tensor
from hwsim.io.onnx_model import source_of
from hwsim.ops import binary, unary
from hwsim.program import Program
from hwsim.quant import Array, QuantParams
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.judges import OneNode, session
from tests.steps import ENGINES, conv_attrs, quant, step_program, stored

PARAMS: dict[str, dict[str, Any]] = {
    "clip": {"low": -0.7, "high": 6.0},
    "leaky_relu": {"alpha": 0.3},
    "hard_sigmoid": {"alpha": 0.3, "beta": 0.6},
}
JUDGED = {"relu": "Relu", "leaky_relu": "LeakyRelu", "thresholded_relu": "ThresholdedRelu", "hard_swish": "HardSwish"}
EXACT = {"sigmoid": "Sigmoid", "tanh": "Tanh", "erf": "Erf", "gelu": "Gelu"}


def drawn(seed: int, *shape: int) -> Array:
    """Numbers of all sizes, some zero, infinite, tiny or not a number."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(0, 2, shape) * 10.0 ** rng.integers(-2, 3, shape)).astype(np.float32)
    ends = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 6, -0.7], np.float32)
    return np.where(rng.random(shape) < 0.2, rng.choice(ends, shape), x)


def real(name: str, array: Array, constant: bool = False) -> tuple[Tensor, Array]:
    return Tensor(name, array.shape, "float32", None, Constant.of(array, name) if constant else None), array


def both(op: str, inputs: list[Any], attrs: dict[str, Any], shape: tuple[int, ...], y: QuantParams | None = None, fmt: str = "") -> Array:
    """What both executors make of a step that is compiled."""
    program, feeds = as_real(*step_program(op, inputs, (shape, y), attrs), fmt=fmt)
    a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
    assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert all(s.step is None for s in assemble(program).segments)
    return b


def as_real(program: Program, feeds: dict[str, Array], fmt: str = "") -> tuple[Program, dict[str, Array]]:
    """The program with its step on real numbers, and another output format."""
    (layer,) = program.layers
    (step,) = layer.steps
    y = replace(step.outputs[0], format=fmt or step.outputs[0].format)
    step = replace(step, integer=step.op == "quantize", outputs=(y,))
    return replace(program, layers=(replace(layer, steps=(step,)),), tensors={**program.tensors, "y": y}), feeds


@pytest.mark.parametrize("function", unary.COMPILED)
def test_functions_of_one_number(function: str) -> None:
    for shape in ((), (1,), (3, 37), (2, 5, 4, 6)):
        x, params = drawn(len(shape), *shape), PARAMS.get(function, {})
        y = both("unary", [real("x", x)], {"function": function, "params": params}, shape)
        assert function == "thresholded_relu" or np.isnan(y[np.isnan(x)]).all()
        if function in JUDGED and len(shape) > 1:
            wanted = OneNode(JUDGED[function], **params).feed(x).run()
            assert np.allclose(y, wanted, 1e-6, 1e-7, equal_nan=True)
        if function in EXACT and len(shape) > 1:
            finite = np.nan_to_num(x)
            wanted = OneNode(EXACT[function]).feed(finite).run(20)
            assert np.array_equal(both("unary", [real("x", finite)], {"function": function, "params": params}, shape), wanted)


@pytest.mark.parametrize("clip", [None, (0.0, 6.0)])
@pytest.mark.parametrize("function", binary.COMPILED)
def test_functions_of_two_numbers(function: str, clip: tuple[float, float] | None) -> None:
    """Whole tensors, rows, columns and single numbers, constant and not."""
    attrs = {"function": function} if clip is None else {"function": function, "clip": clip}
    for seed, (first, second) in enumerate(
        (((2, 3, 17), (2, 3, 17)), ((4, 33), (33,)), ((4, 1), (1, 19)), ((), ()), ((2, 6, 5, 4), (6, 1, 1)), ((7,), ()))
    ):
        for constant in (False, True):
            a, b = drawn(seed, *first), drawn(seed + 9, *second)
            both("binary", [real("a", a), real("b", b, constant)], attrs, np.broadcast_shapes(first, second))


def test_batch_normalization_between_layers() -> None:
    rng, x = np.random.default_rng(4), drawn(4, 2, 6, 5, 4)
    parts = [rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)]
    inputs = [real("x", x), *(real(n, p, True) for n, p in zip("gbmv", parts, strict=True))]
    found = both("batch_norm", inputs, {"epsilon": 1e-5}, x.shape)
    wanted = OneNode("BatchNormalization").feed(x)
    for p in parts:
        wanted = wanted.constant(p)
    assert np.allclose(found, wanted.run(), 1e-5, 1e-6, equal_nan=True)


def test_parts_side_by_side() -> None:
    """Computed and constant ones, along any axis."""
    for axis in (0, 1, 2):
        shapes = [tuple(n if i == axis else size for i, size in enumerate((2, 3, 9))) for n in (1, 2, 4)]
        parts = [real(f"x{i}", drawn(i, *s), constant=i == 1) for i, s in enumerate(shapes)]
        wanted = np.concatenate([a for _, a in parts], axis)
        assert np.array_equal(both("concat", list(parts), {"axis": axis}, wanted.shape), wanted, equal_nan=True)


def test_moves() -> None:
    x = drawn(5, 2, 3, 4, 5)
    moved = both("transpose", [real("x", x)], {"perm": (0, 2, 3, 1)}, (2, 4, 5, 3))
    assert np.array_equal(moved, x.transpose(0, 2, 3, 1), equal_nan=True)
    assert np.array_equal(both("reshape", [real("x", x)], {"shape": (6, 20)}, (6, 20)), x.reshape(6, 20), equal_nan=True)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_borders(mode: str) -> None:
    x, widths = drawn(14, 2, 3, 6, 5), ((0, 0), (0, 0), (1, 3), (2, -1))
    found = both("pad", [real("x", x)], {"widths": widths, "value": 0.3, "mode": mode}, (2, 3, 10, 6))
    value: dict[str, Any] = {"constant_values": 0.3} if mode == "constant" else {}
    assert np.array_equal(found, np.pad(x[..., :-1], (*widths[:3], (2, 0)), mode, **value), equal_nan=True)  # type: ignore[call-overload]


@pytest.mark.parametrize("coordinate", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("shape", "size"), [((2, 3, 5, 4), (2, 3, 9, 2)), ((1, 70, 1, 6), (1, 70, 3, 6)), ((2, 3, 5), (2, 3, 8))])
def test_other_sizes(shape: tuple[int, ...], size: tuple[int, ...], mode: str, coordinate: str) -> None:
    x = np.random.default_rng(15).normal(0, 2, shape).astype(np.float32)
    factors = tuple(m / n for m, n in zip(size, shape, strict=True))
    attrs = {"size": size, "factors": factors, "mode": mode, "coordinate": coordinate, "nearest": "floor", "multiply": False}
    found = both("resize", [real("x", x)], attrs, size)
    judge = OneNode("Resize", mode=mode, coordinate_transformation_mode=coordinate, nearest_mode="floor").feed(x).absent().absent()
    np.testing.assert_allclose(found, judge.constant(np.asarray(size, np.int64)).run(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fmt", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("arithmetic", ["onnxruntime", "litert_ref"])
def test_wide_integers_on_another_grid(fmt: str, arithmetic: str) -> None:
    """LiteRT's fixed point, and otherwise DequantizeLinear and QuantizeLinear; within half a step of the real number."""
    limits, rng = np.iinfo(np.int32), np.random.default_rng(16)
    x = rng.integers(limits.min, limits.max, (5, 41), dtype=np.int32, endpoint=True) >> rng.integers(0, 31, (5, 41))
    source, target = quant("int32", np.float32(0.001)), quant(fmt, np.float32(0.13), 5 if fmt != "int16" else 0)
    attrs = {"format": fmt, "axis": 0, "block": 0}
    program, feeds = step_program("quantize", [(stored("x", x, source), x)], (x.shape, target), attrs, arithmetic)
    a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
    assert np.array_equal(a, b) and all(s.step is None for s in assemble(program).segments)
    ends = target.dequantize(np.array([target.qmin, target.qmax], fmt))
    assert np.abs(target.dequantize(a) - np.clip(source.dequantize(x), *ends)).max() < 0.5001 * target.scale


@pytest.mark.parametrize("counted", [False, True])
def test_averages_of_windows(counted: bool) -> None:
    x = np.random.default_rng(12).normal(0, 2, (2, 5, 7, 6)).astype(np.float32)
    attrs = {**conv_attrs((3, 2), (2, 1), (1, 1), (1, 0)), "count_pad": counted, "counted_after": (1, 0), "global": False}
    found = both("average_pool", [real("x", x)], attrs, (2, 5, 4, 6))
    judge = OneNode("AveragePool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 1, 0], count_include_pad=int(counted))
    assert np.allclose(found, judge.feed(x).run(), 1e-6, 1e-6)
    whole = {**conv_attrs((7, 6)), "count_pad": False, "counted_after": (0, 0), "global": True}
    assert np.allclose(both("average_pool", [real("x", x)], whole, (2, 5, 1, 1)), x.mean((2, 3), keepdims=True), 1e-5, 1e-6)


def test_largest_of_windows() -> None:
    """What is not a number wins; windows beyond the border are of -inf."""
    x, attrs = drawn(7, 2, 5, 7, 6), conv_attrs((3, 2), (2, 1), (1, 1), (1, 0))
    found = both("max_pool", [real("x", x)], attrs, (2, 5, 4, 6))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), (2, 3))[:, :, ::2]
    assert np.array_equal(found, windows.max((4, 5)), equal_nan=True)


@pytest.mark.parametrize("fmt", ["uint8", "int8", "int16"])
def test_where_the_largest_is(fmt: str) -> None:
    """The first or the last of equal ones, along every axis."""
    rng, q = np.random.default_rng(8), quant(fmt, np.float32(0.1), 3)
    x = rng.integers(0, 9, (2, 5, 3, 4)).astype(fmt)
    for axis, keep, smallest, last in product(range(4), *[(False, True)] * 3):
        attrs = {"axis": axis, "keep": keep, "smallest": smallest, "last": last}
        shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape) if keep or i != axis)
        program, feeds = as_real(*step_program("argmax", [(stored("x", x, q), x)], (shape, None), attrs), fmt="int64")
        a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
        assert a.dtype == b.dtype == np.int64 and np.array_equal(a, b)
        assert all(s.step is None for s in assemble(program).segments)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("fmt", ["uint8", "int8"])
def test_products_of_plain_integers(fmt: str, zeros: bool) -> None:
    """ConvInteger with a border and groups, and MatMulInteger, with a zero point per column; both as ONNX Runtime."""
    rng, low = np.random.default_rng(9), 0 if fmt == "uint8" else -128
    x, w = (rng.integers(low, low + 256, s).astype(fmt) for s in ((2, 4, 7, 6), (6, 2, 3, 3)))
    attrs = conv_attrs((3, 3), (2, 1), (1, 2), (1, 0), group=2)
    convolution = OneNode("ConvInteger", group=2, kernel_shape=[3, 3], strides=[2, 1], pads=[1, 2, 1, 0])
    a, b = (rng.integers(low, low + 256, s).astype(fmt) for s in ((3, 5, 9), (9, 7)))
    product_attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    cases: list[Any] = [("conv", x, w, attrs, convolution, ()), ("matmul", a, b, product_attrs, OneNode("MatMulInteger"), (7,))]
    for op, left, right, own, judge, channels in cases:
        inputs: list[Any] = [plain("l", left), plain("r", right, True)]
        judge.feed(left).constant(right)
        if zeros:
            per_channel = rng.integers(low, low + 256, channels).astype(fmt)
            inputs += [(None, None), plain("lz", np.asarray(low + 3, fmt), True), plain("rz", per_channel, True)]
            judge.constant(np.asarray(low + 3, fmt)).constant(per_channel)
        wanted = judge.run(10)
        found = both(op, inputs, own, wanted.shape, fmt="int32")
        assert np.array_equal(found, wanted)


def plain(name: str, array: Array, constant: bool = False) -> tuple[Tensor, Array]:
    """Integers that stand for nothing else."""
    return Tensor(name, array.shape, array.dtype.name, None, Constant.of(array, name) if constant else None), array


@pytest.mark.parametrize("fmt", ["int8", "uint8", "int16", "int32"])
def test_integers_made_real(fmt: str) -> None:
    limits = np.iinfo(fmt)
    x = np.random.default_rng(10).integers(limits.min, limits.max, (3, 41), dtype=fmt, endpoint=True)
    attrs = {"to": "float32", "saturate": True, "round_mode": "up"}
    assert np.array_equal(both("cast", [plain("x", x)], attrs, x.shape), x.astype(np.float32))


@pytest.mark.parametrize("shape", [(3, 37), (2, 5, 4, 3), (1, 1)])
def test_images_in_steps_of_their_largest_number(shape: tuple[int, ...]) -> None:
    """One of them of zeros, ties half away from zero; the scales are an output too."""
    x = np.random.default_rng(11).integers(-254, 255, shape).astype(np.float32) / 2
    x[-1], x[0].flat[0] = 0, 127
    one, scales = Tensor("s", (shape[0], *[1] * (len(shape) - 1)), "float32"), "float32"
    program, feeds = as_real(*step_program("dynamic_quantize", [real("x", x)], (shape, None), {"symmetric": True}), fmt="int8")
    (layer,) = program.layers
    step = replace(layer.steps[0], node=replace(layer.steps[0].node, outputs=("y", "s")), outputs=(*layer.steps[0].outputs, one))
    graph = replace(program.graph, outputs=("y", "s"))
    program = replace(program, graph=graph, layers=(replace(layer, steps=(step,)),), tensors={**program.tensors, "s": one})
    a, b = (execute(program, feeds, engine=e).tensors for e in ENGINES)
    assert all(np.array_equal(a[n], b[n]) for n in ("y", "s")) and a["s"].dtype == scales
    assert all(s.step is None for s in assemble(program).segments)


@pytest.mark.parametrize("shape", [(5, 37), (1, 1), (2, 3, 16)])
def test_products_quantized_at_run_time(shape: tuple[int, ...]) -> None:
    """DynamicQuantizeLinear and MatMulInteger with the zero point that it finds, as ONNX Runtime's dynamic quantization writes them."""
    rng = np.random.default_rng(13)
    w = rng.integers(-128, 128, (shape[-1], 7)).astype(np.int8)
    value, names = helper.make_tensor_value_info, ("q", "scale", "zero")
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], names), helper.make_node("MatMulInteger", ["q", "w", "zero", "wz"], ["y"])]
    held = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.asarray(3, np.int8), "wz")]
    kinds = {"y": TensorProto.INT32, "q": TensorProto.UINT8, "scale": TensorProto.FLOAT, "zero": TensorProto.UINT8}
    graph = helper.make_graph(nodes, "two", [value("x", TensorProto.FLOAT, shape)], [value(n, k, None) for n, k in kinds.items()], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    program = as_written(read(source_of(model, "two", "0" * 64)))
    assert all(s.step is None for s in assemble(program).segments)
    for low, high in ((-3.0, 5.0), (0.5, 2.0), (-7.0, -1.0), (0.0, 0.0)):
        feeds = {"x": rng.uniform(low, high, shape).astype(np.float32)}
        wanted = session(model).run(list(kinds), feeds)
        for engine in ENGINES:
            found = execute(program, feeds, engine=engine).tensors
            assert all(np.array_equal(found[n], w) for n, w in zip(kinds, wanted, strict=True)), engine


def test_signs() -> None:
    """Zero is not negative, of either sign."""
    x, q = drawn(6, 3, 50), quant("bipolar", np.float32(0.25))
    found = both("quantize", [real("x", x)], {"format": "bipolar", "axis": 0, "block": 0}, x.shape, q)
    assert np.array_equal(found, np.where(x >= 0, 1, -1))


@pytest.mark.parametrize("kind", ["Sigmoid", "Softmax", "LayerNormalization", "Erf", "Gelu"])
def test_float64_keeps_its_digits(kind: str) -> None:
    """What is defined in the order of ONNX Runtime's float32 kernels is not narrowed: against its float64 kernels where they have the
    digits (its Erf does not), and the standard library."""
    x = np.random.default_rng(0).normal(0, 2, (3, 20))
    node = OneNode(kind).feed(x)
    if kind == "LayerNormalization":
        node.constant(np.linspace(0.5, 2, 20))
    model = node.model(20)
    model.graph.output[0].type.CopyFrom(model.graph.input[0].type)
    graph = read(source_of(model, kind, ""))
    got = execute(as_written(graph), node.fed).tensors[graph.outputs[0]]
    erf = np.vectorize(math.erf)
    exact = {"Erf": erf, "Gelu": lambda v: v * (1 + erf(v / math.sqrt(2))) / 2}
    want = exact[kind](x) if kind in exact else node.run(20)
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)
