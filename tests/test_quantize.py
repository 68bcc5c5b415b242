"""Quantizing a float network: the min-max formulas, batch-norm folding, and files that ONNX Runtime reads the same way."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.arch import Grid, Rules, WeightGrid
from hwsim.errors import HwsimError, NotDeployable
from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.onnx_model import read_onnx, write_onnx
from hwsim.quant import Array
from hwsim.quantizers._affine import Scheme, affine
from hwsim.quantizing import quantize_for
from hwsim.steps.diff import isolated
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import as_written, lower
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.test_check import BACKENDS, normal, rules_of

# Min-max formulas --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "grid", "scale", "zero"),
    [
        # Q01: s = (beta - alpha) / (2^b - 1), z = round(qmin - alpha / s)
        (-1.0, 3.0, (0, 255), 4 / 255, 64),  # 0 + 1 x 255/4 = 63.75
        (-1.0, 3.0, (-128, 127), 4 / 255, -64),  # -128 + 63.75 = -64.25
        (-1.0, 3.0, (0, 15), 4 / 15, 4),  # 3.75
        (-1.0, 3.0, (0, 3), 4 / 3, 1),  # 0.75
        (-1.0, 1.0, (0, 255), 2 / 255, 128),  # 127.5: ties to even
        # the range is first extended to contain 0
        (2.0, 6.0, (0, 255), 6 / 255, 0),
        (-6.0, -2.0, (0, 255), 6 / 255, 255),
        # nothing but zeros: any scale will do
        (0.0, 0.0, (0, 255), 1.0, 0),
    ],
)
def test_asymmetric(low: float, high: float, grid: tuple[int, int], scale: float, zero: int) -> None:
    s, z = affine(np.float64(low), np.float64(high), Scheme(*grid, symmetric=False))
    assert (s, z) == (np.float32(scale), zero)
    assert s.dtype == np.float32


@pytest.mark.parametrize(
    ("low", "high", "grid", "scale", "zero"),
    [
        # Q03: z = 0, s = max |x| / (2^(b-1) - 1)
        (-1.0, 3.0, (-128, 127), 3 / 127, 0),
        (-3.0, 1.0, (-128, 127), 3 / 127, 0),
        (-3.0, 1.0, (-127, 127), 3 / 127, 0),  # the narrow grid has the same scale
        (-3.0, 1.0, (-8, 7), 3 / 7, 0),
        (-1.0, 3.0, (0, 255), 3 / 127, 128),  # unsigned: around the middle
    ],
)
def test_symmetric(low: float, high: float, grid: tuple[int, int], scale: float, zero: int) -> None:
    assert affine(np.float64(low), np.float64(high), Scheme(*grid, symmetric=True)) == (np.float32(scale), zero)


@pytest.mark.parametrize(
    ("largest", "scale"), [(127.0, 1.0), (127 * 1.41, 1.0), (127 * 1.42, 2.0), (127 * 0.8, 1.0), (127 * 0.7, 0.5), (1.0, 2.0**-7)]
)
def test_power_of_two(largest: float, scale: float) -> None:
    """Q06 as MQBench: 2^round(log2 s), so that up to sqrt(2) of the range is clipped."""
    assert affine(-largest, largest, Scheme(-128, 127, symmetric=True, power_of_two=True))[0] == scale


def test_one_scale_for_each_channel() -> None:
    """Q11 per channel: each row has its own range."""
    s, z = affine(np.array([-1.0, -4.0]), np.array([3.0, 0.0]), Scheme(0, 255, symmetric=False))
    np.testing.assert_array_equal(s, np.array([4 / 255, 4 / 255], np.float32))
    np.testing.assert_array_equal(z, [64, 255])


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32), st.integers(2, 16), st.booleans(), st.booleans())
def test_zero_is_exact_and_errors_are_half_a_step(a: float, b: float, bits: int, signed: bool, symmetric: bool) -> None:
    low, high = min(a, b), max(a, b)
    qmin, qmax = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    s, z = affine(np.float64(low), np.float64(high), Scheme(qmin, qmax, symmetric))
    assert qmin <= z <= qmax
    x = np.linspace(min(low, 0), max(high, 0), 101)
    q = np.clip(np.rint(x / np.float64(s)) + z, qmin, qmax)
    # the range's ends may lie half a step off the grid, as the zero point is rounded; float32 rounds the scale by 2^-24 of it
    assert np.abs((q - z) * np.float64(s) - x).max() <= np.float64(s) * (0.5 if symmetric else 1) + 2.0**-22 * np.abs(x).max()
    assert (np.rint(0 / np.float64(s)) + z - z) * s == 0


# What is written ---------------------------------------------------------------------------------------------------------------------


def one_conv(weights: Array, bias: Array | None = None) -> SourceGraph:
    """A pointwise convolution with given weights (outputs, inputs)."""
    net = Net("one")
    x = net.input("input", (1, weights.shape[1], 1, 1))
    inputs = [x, net.constant("w", weights.astype(np.float32)[..., None, None])]
    if bias is not None:
        inputs.append(net.constant("b", bias.astype(np.float32)))
    return net.finish(net.node("Conv", inputs, (1, len(weights), 1, 1), "conv", kernel_shape=[1, 1]))


def held(source: SourceGraph, name: str) -> Array:
    constant = source.tensors[name].constant
    assert constant is not None
    return constant.array


def rules(weights: dict[str, Any], activations: dict[str, Any], **changed: Any) -> Rules:
    return Rules(
        weights=WeightGrid(**{"formats": ["int8"], **weights}),
        activations=Grid(**{"formats": ["uint8"], **activations}),
        **{"graph": 3, "first_last_bits": 2, "source": "test", **changed},
    )


W = np.array([[1.0, -0.5], [0.25, 0.125]])


def test_weights_per_tensor_and_bias() -> None:
    """s_w = 1 / 127: q = rint(127 w); x in -1 ... 3: s_x = 4 / 255; bias 0.1 / (s_x s_w) = 0.1 x 127 x 255 / 4 = 809.6."""
    source = quantize(one_conv(W, np.array([0.1, -0.1])), rules({"symmetric": True}, {}), "w8a8", {"input": (-1.0, 3.0)})
    np.testing.assert_array_equal(held(source, "w.w8.stored")[..., 0, 0], [[127, -64], [32, 16]])
    assert held(source, "w.w8.scale") == np.float32(1 / 127)
    assert (held(source, "input.a8.scale"), held(source, "input.a8.zero_point")) == (np.float32(4 / 255), 64)
    np.testing.assert_array_equal(held(source, "b.int32.stored"), [810, -810])
    assert held(source, "b.int32.scale") == np.float32(np.float32(4 / 255) * np.float32(1 / 127))


def test_weights_per_channel() -> None:
    """Scales 1 / 127 and 0.25 / 127."""
    source = quantize(one_conv(W), rules({"symmetric": True, "granularity": "per_channel"}, {}), "w8a8", {"input": (-1.0, 3.0)})
    np.testing.assert_array_equal(held(source, "w.w8.scale"), np.array([1 / 127, 0.25 / 127], np.float32))
    np.testing.assert_array_equal(held(source, "w.w8.stored")[..., 0, 0], [[127, -64], [127, 64]])


def test_weights_asymmetric_in_four_bits() -> None:
    """-0.5 ... 1 on -8 ... 7: s = 0.1, z = -8 + 5 = -3; 1 -> 7, -0.5 -> -8, 0.25 -> rint(2.5) - 3 = -1, 0.125 -> 1 - 3 = -2."""
    source = quantize(one_conv(W), rules({"formats": ["int4"]}, {}), "w4a8", {"input": (-1.0, 3.0)})
    assert (held(source, "w.w4.scale"), held(source, "w.w4.zero_point")) == (np.float32(0.1), -3)
    np.testing.assert_array_equal(held(source, "w.w4.stored")[..., 0, 0], [[7, -8], [-1, -2]])


def test_narrow_grid_leaves_out_the_lowest() -> None:
    """Per-channel asymmetric weights use all 256 numbers, the narrow grid 255."""
    wide, narrow = (quantize(one_conv(W), rules({"narrow": n}, {}), "w8a8", {"input": (-1.0, 3.0)}) for n in (False, True))
    assert held(wide, "w.w8.stored").min() == -128
    assert held(narrow, "w.w8.stored").min() == -127
    assert held(narrow, "w.w8.scale") == np.float32(1.5 / 254)


def test_float_bias_stays() -> None:
    source = quantize(one_conv(W, np.array([0.1, -0.1])), rules({}, {}, bias="float32"), "w8a8", {"input": (-1.0, 3.0)})
    assert source.nodes[-1].inputs[2] == "b"


def test_unsigned_where_nothing_is_negative() -> None:
    """MQBench's ada_sign: a symmetric unsigned grid from 0 up, else around its middle."""
    grid = rules({}, {"symmetric": True})
    up, both = (quantize(one_conv(W), grid, "w8a8", {"input": r}) for r in ((0.5, 3.0), (-1.0, 3.0)))
    assert (held(up, "input.a8.scale"), held(up, "input.a8.zero_point")) == (np.float32(3 / 255), 0)
    assert (held(both, "input.a8.scale"), held(both, "input.a8.zero_point")) == (np.float32(3 / 127), 128)


def test_ends_keep_their_width_and_moved_data_its_scale(residual: SourceGraph) -> None:
    """4 bits between the first and the last layer; the average, flattened before the last layer, has that layer's 8."""
    source = fold_batch_norm(residual)
    done = quantize(source, load_arch("snpe_dsp").quantization, "w4a4", ranges_of(read(source), [{"input": normal(1, 3, 8, 8)}]))
    stored = {n.inputs[0]: n.outputs[0] for n in done.nodes if n.kind == "QuantizeLinear"}
    widths = {t: int(s.removesuffix(".quantized").rpartition(".a")[2]) for t, s in stored.items()}
    assert widths == {
        "input": 8,
        "relu5.out": 4,
        "maxpool6.out": 4,
        "relu11.out": 4,
        "bn14.out": 4,
        "relu17.out": 4,
        "globalaveragepool18.out": 8,
        "flatten19.out": 8,
    }
    assert {
        t: done.tensors[f"{t}.weight{f}.w{b}.stored"].format
        for t, f, b in (("conv1", ".folded", 8), ("conv7", ".folded", 4), ("conv12", ".folded", 4), ("fc20", "", 8))
    } == {"conv1": "uint8", "conv7": "uint4", "conv12": "uint4", "fc20": "uint8"}
    for a, b in (("relu5.out.a4", "maxpool6.out.a4"), ("globalaveragepool18.out.a8", "flatten19.out.a8")):
        np.testing.assert_array_equal(held(done, f"{a}.scale"), held(done, f"{b}.scale"))


@pytest.mark.parametrize("outputs", ["real", "stored"])
def test_numbers_that_the_network_hands_out(outputs: str) -> None:
    """A softmax behind the last layer: real, or stored numbers up to the output, as a chip needs that has no others and no host."""
    net = Net("tail")
    x = net.input("input", (1, 2, 4, 4))
    y = net.relu(net.conv(net.conv(x, 3, 1), 3, 1))
    source = net.finish(net.softmax(y, axis=1))
    chip = load_arch("bitfusion_16x32", {"quantization.outputs": outputs})
    done = quantize(source, chip.quantization, "w8a8", ranges_of(read(source), [{"input": normal(1, 2, 4, 4)}]))
    stored = outputs == "stored"
    assert (done.nodes[-1].kind, sum(n.kind == "QuantizeLinear" for n in done.nodes)) == (
        ("DequantizeLinear", 4) if stored else ("Softmax", 2)
    )
    with nullcontext() if stored else pytest.raises(NotDeployable, match="which has no fallback"):
        lower(read(done), chip)


def test_one_quantizer_for_all_readers() -> None:
    """The input goes to the first layer (8 bits) and to another: one quantizer, of 8 bits."""
    net = Net("fork")
    x = net.input("input", (1, 2, 4, 4))
    source = net.finish(net.conv(net.concat([net.conv(x, 2, 1), net.conv(x, 2, 3)]), 3, 1))
    done = quantize(source, load_arch("fbgemm_x86").quantization, "w4a4", ranges_of(read(source), [{"input": normal(1, 2, 4, 4)}]))
    assert [n.outputs[0] for n in done.nodes if n.kind == "QuantizeLinear" and n.inputs[0] == "input"] == ["input.a8.quantized"]


@pytest.mark.parametrize(
    ("network", "precision", "ranges", "complaint"),
    [
        ("conv", "fp16", {"input": (0.0, 1.0)}, "must be integers such as w8a8"),
        ("conv", "w8a8", {}, "'input': must have a range from calibration"),
        ("relu", "w8a8", {"input": (0.0, 1.0)}, "must have a convolution or linear layer"),
    ],
)
def test_what_cannot_be_quantized(network: str, precision: str, ranges: dict[str, tuple[float, float]], complaint: str) -> None:
    net = Net("relu")
    source = one_conv(W) if network == "conv" else net.finish(net.relu(net.input("input", (1, 2, 1, 1))))
    with pytest.raises(HwsimError, match=complaint):
        quantize(source, rules({}, {}), precision, ranges)


# Folding -----------------------------------------------------------------------------------------------------------------------------


def randomized(net: Net, x: str) -> str:
    """Batch normalization with statistics of every size."""
    name, channels = f"norm{net.count}", net.shapes[x][1]
    rng = np.random.default_rng(net.count)
    numbers = {
        "gamma": rng.normal(1, 1, channels),
        "beta": rng.normal(0, 2, channels),
        "mean": rng.normal(0, 3, channels),
        "variance": 10.0 ** rng.uniform(-3, 3, channels),
    }
    parts = [net.constant(f"{name}.{k}", v.astype(np.float32)) for k, v in numbers.items()]
    return net.node("BatchNormalization", [x, *parts], net.shapes[x], name, epsilon=1e-3)


def host(kind: str, bias: bool) -> SourceGraph:
    """One convolution or linear layer with batch normalization behind it."""
    net, rng = Net(kind), np.random.default_rng(1)

    def layer(op: str, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], **attrs: Any) -> SourceGraph:
        inputs = [net.input("input", x), net.constant("w", rng.standard_normal(w, np.float32))]
        if bias:
            inputs.append(net.constant("b", rng.standard_normal(y[1], np.float32)))
        return net.finish(randomized(net, net.node(op, inputs, y, "host", **attrs)))

    return {
        "conv": lambda: layer("Conv", (2, 3, 5, 5), (4, 3, 3, 3), (2, 4, 3, 3)),
        "depthwise": lambda: layer("Conv", (2, 4, 5, 5), (4, 1, 3, 3), (2, 4, 3, 3), group=4),
        "transposed": lambda: layer("ConvTranspose", (2, 3, 4, 4), (3, 5, 2, 2), (2, 5, 8, 8), strides=[2, 2]),
        "transposed_groups": lambda: layer("ConvTranspose", (2, 6, 4, 4), (6, 2, 2, 2), (2, 6, 8, 8), strides=[2, 2], group=3),
        "gemm": lambda: layer("Gemm", (3, 6), (6, 4), (3, 4)),
        "gemm_transposed": lambda: layer("Gemm", (3, 6), (4, 6), (3, 4), transB=1),
        "gemm_scaled": lambda: layer("Gemm", (3, 6), (4, 6), (3, 4), transB=1, alpha=0.5, beta=3.0),
    }[kind]()


def computed(source: SourceGraph, feeds: dict[str, Array]) -> Array:
    graph = read(source, {name: x.shape for name, x in feeds.items()})
    return execute(as_written(graph), feeds, engine="reference").tensors[source.outputs[0]]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["conv", "depthwise", "transposed", "transposed_groups", "gemm", "gemm_transposed", "gemm_scaled"])
def test_folding_changes_nothing(kind: str, bias: bool) -> None:
    source = host(kind, bias)
    folded = fold_batch_norm(source)
    assert [n.kind for n in folded.nodes] == [source.nodes[0].kind]
    declared = source.tensors["input"].shape
    assert declared is not None
    shape = (3 if kind.startswith("gemm") else 2, *(int(d) for d in declared[1:]))
    x = {"input": np.random.default_rng(2).standard_normal(shape, np.float32)}
    before, after = (computed(s, x) for s in (source, folded))
    assert np.abs(after - before).max() <= 1e-6 * np.abs(before).max()


def test_shared_weights_fold_apart() -> None:
    """Two convolutions with the same weights and different normalizations."""
    net = Net("shared")
    x = net.input("input", (1, 2, 4, 4))
    w = net.constant("w", np.random.default_rng(0).standard_normal((3, 2, 1, 1), np.float32))
    twice = [randomized(net, net.node("Conv", [x, w], (1, 3, 4, 4), name, kernel_shape=[1, 1])) for name in ("left", "right")]
    source = net.finish(net.add(*twice))
    feeds = {"input": normal(1, 2, 4, 4)}
    before, after = (computed(s, feeds) for s in (source, fold_batch_norm(source)))
    assert np.abs(after - before).max() <= 1e-6 * np.abs(before).max()


def test_what_does_not_fold() -> None:
    """A normalization behind a pool, and one whose convolution has another reader."""
    net = Net("stays")
    x = net.conv(net.input("input", (1, 3, 6, 6)), 4, 3)
    y = net.concat([x, randomized(net, x), randomized(net, net.max_pool(x, 3, 1, 1))])
    source = net.finish(y)
    assert [n.kind for n in fold_batch_norm(source).nodes] == [n.kind for n in source.nodes]


# ONNX Runtime ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["w8a8", "w4a8"])
@pytest.mark.parametrize("backend", [*BACKENDS, "academic"])
def test_onnxruntime_reads_the_file_the_same_way(
    backend: str, precision: str, digits: SourceGraph, digits_images: Array, tmp_path: Any
) -> None:
    """Operator by operator, from the same inputs: stored outputs within one step, real ones within one step of their accumulator.

    ONNX Runtime dequantizes and computes in float32, hwsim in integers with the bias rounded to the accumulator's grid.
    """
    pytest.importorskip("onnxruntime")
    from hwsim.io.onnxruntime_runs import run_onnxruntime

    source = digits if backend == "academic" else fold_batch_norm(digits)
    images = digits_images[:16]
    ranges = ranges_of(read(source, {"input": images.shape}), [{"input": images}])
    write_onnx(quantize(source, rules_of(backend), precision, ranges), tmp_path / "net.onnx")
    graph = read(read_onnx(tmp_path / "net.onnx"), {"input": images.shape})
    theirs = {**run_onnxruntime(graph.source, {"input": images}), "input": images}
    own = as_written(graph)
    found = isolated(own, theirs, graph.tensors)
    assert len(found) == len(graph.nodes)
    for node in graph.nodes:
        difference = found[node.outputs[0]]
        assert (difference.largest_lsb or 0) <= 1, difference
        if difference.largest_lsb is None:
            scales = [q.scale.max() for t in node.inputs[:2] if (q := graph.tensors[t].quant) is not None]
            assert difference.largest <= (float(np.prod(scales)) if len(scales) == 2 else 1e-4), difference
    mine = execute(own, {"input": images}, engine="reference").tensors[graph.outputs[0]]
    np.testing.assert_array_equal(mine.argmax(1), theirs[graph.outputs[0]].argmax(1))


@pytest.mark.parametrize(("precision", "opset"), [("w8a8", 13), ("w4a8", 21), ("w4a4", 21), ("w2a8", 25)])
def test_onnxruntime_opens_what_is_written(precision: str, opset: int, digits: SourceGraph, digits_images: Array, tmp_path: Any) -> None:
    """From a float file of opset 13: 4 bits are written as opset 21, 2 bits as 25; the answers are those of hwsim's integers.

    ONNX Runtime 1.32 fuses 2-bit weights into an operator that does not take them, so its extended optimizations are off there.
    """
    ort = pytest.importorskip("onnxruntime")
    source = replace(digits, opset=13, nodes=tuple(replace(n, opset=13) for n in digits.nodes))
    done = quantize_for(load_arch("fbgemm_x86"), source, digits_images[:32], precision, "mse+bias").network
    write_onnx(done, tmp_path / "net.onnx")
    written = read_onnx(tmp_path / "net.onnx")
    assert written.opset == opset
    options, levels = ort.SessionOptions(), ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if precision == "w2a8" else levels.ORT_ENABLE_ALL
    theirs = ort.InferenceSession(tmp_path / "net.onnx", options).run(None, {"input": digits_images})[0]
    graph = read(written, {"input": digits_images.shape})
    mine = execute(as_written(graph), {"input": digits_images}).tensors[graph.outputs[0]]
    assert (theirs.argmax(1) == mine.argmax(1)).mean() >= 0.98
