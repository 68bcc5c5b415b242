"""QONNX: every operator against the `qonnx` package's own functions, whole networks and their accuracy against its executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hwsim.graph import Graph
from hwsim.io.onnx_model import source_of
from hwsim.ops._qonnx import DOMAINS, ROUNDINGS
from hwsim.quant import Array
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.conftest import Say
from tests.data import loaders, shared
from tests.qonnx_peer import DOMAIN, Layers, cnv_images, finn_cnv, run_qonnx
from tests.steps import ENGINES

X = (4, 3, 5)


def one_node(kind: str, x: Array, *constants: Any, domain: str = DOMAIN, **attrs: Any) -> dict[str, Array]:
    """The output of a model of one QONNX node by each engine."""
    names = [f"c{i}" for i in range(len(constants))]
    node = helper.make_node(kind, ["x", *names], ["y"], "node", domain=domain, **attrs)
    held = [numpy_helper.from_array(np.asarray(c, np.float32), n) for c, n in zip(constants, names, strict=True)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)], ir_version=8)
    program = as_written(read(source_of(model, "one", "0" * 64)))
    return {e: execute(program, {"x": x}, engine=e).tensors["y"] for e in ENGINES}


def numbers(seed: int, scale: Any, spread: float) -> Array:
    """Real numbers around the grid of a scale: many exact ties, some next to them, some far outside."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(-int(spread), int(spread) + 1, X) / 2
    near = rng.choice([0, 0, 0, 1e-6, -1e-6, 0.3], X)
    return np.asarray((halves + near) * np.abs(scale), np.float32)


quants = st.fixed_dictionaries(
    {
        "bits": st.integers(1, 16),
        "signed": st.booleans(),
        "narrow": st.booleans(),
        "mode": st.sampled_from([*ROUNDINGS, "round", "floor"]),
        "zero": st.integers(-3, 3),
        "scale": st.sampled_from([1.0, 0.25, 0.1, -0.3, "channel", "signs"]),
        "seed": st.integers(0, 99),
        "domain": st.sampled_from(DOMAINS),
    }
)


@given(quants)
def test_quant_equals_the_package(q: dict[str, Any]) -> None:
    from qonnx.custom_op.general.intquant import int_quant

    bits, signed, narrow, zero = q["bits"], q["signed"], q["narrow"], q["zero"]
    if bits == 1 and (signed or narrow):
        zero, narrow = 0, False
    rng = np.random.default_rng(q["seed"])
    scale = {"channel": rng.uniform(0.01, 1, (1, 3, 1)), "signs": rng.uniform(0.1, 1, (3, 1)) * [[1], [-1], [1]]}.get(
        q["scale"], q["scale"]
    )
    if q["scale"] in ("signs", -0.3) and bits == 1 and signed:
        scale = np.abs(scale)
    if q["scale"] == "signs" and not (signed and narrow):
        scale = np.abs(scale)
    zero = 0 if np.any(np.asarray(scale) < 0) and q["scale"] == "signs" else zero
    scale = np.asarray(scale, np.float32)
    x = numbers(q["seed"], scale, 2.0 ** min(bits + 1, 10))
    want = int_quant(x, scale, np.float32(zero), np.float32(bits), signed, narrow, q["mode"])
    got = one_node("Quant", x, scale, zero, bits, domain=q["domain"], signed=int(signed), narrow=int(narrow), rounding_mode=q["mode"])
    for engine, y in got.items():
        np.testing.assert_array_equal(y, want.astype(np.float32), f"{engine} {q}")


@given(st.sampled_from([1.0, 0.5, 0.37]), st.integers(0, 99), st.sampled_from(DOMAINS))
def test_bipolar_equals_the_package(scale: float, seed: int, domain: str) -> None:
    from qonnx.custom_op.general.bipolar_quant import binary_quant

    x = numbers(seed, scale, 3)
    for y in one_node("BipolarQuant", x, scale, domain=domain).values():
        np.testing.assert_array_equal(y, binary_quant(x, np.float32(scale)))


@given(st.integers(2, 12), st.integers(0, 6), st.sampled_from([*ROUNDINGS]), st.sampled_from([1.0, 0.25, 0.1]), st.integers(0, 99))
def test_trunc_equals_the_package(bits: int, dropped: int, mode: str, scale: float, seed: int) -> None:
    from qonnx.custom_op.general.trunc import trunc_v1, trunc_v2

    dropped, rng = min(dropped, bits - 1), np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    x = np.asarray(rng.choice([low, low + 1, -1, 0, 1, high, *rng.integers(low, high + 1, 8)], X) * np.float32(scale), np.float32)
    want = trunc_v1(x, np.float32(scale), np.float32(0), np.float32(bits), np.float32(bits - dropped), mode)
    for y in one_node("Trunc", x, scale, 0, bits, bits - dropped, rounding_mode=mode).values():
        np.testing.assert_array_equal(y, want)
    out = np.float32(scale * 2.0**dropped)
    want = trunc_v2(x, np.float32(scale), np.float32(0), bits, False, True, out, np.int64(4), mode)
    for y in one_node("Trunc", x, scale, 0, bits, out, 4, rounding_mode=mode, signed=1, narrow=0).values():
        np.testing.assert_array_equal(y, want)


@given(st.integers(1, 15), st.sampled_from(["NC", "NCHW", "NHWC", "NWC", ""]), st.booleans(), st.integers(0, 99), st.data())
def test_multi_threshold_equals_the_package(count: int, layout: str, shared_row: bool, seed: int, data: st.DataObject) -> None:
    from qonnx.custom_op.general.multithreshold import multithreshold

    scale, bias = data.draw(st.sampled_from([(1.0, 0.0), (2.0, -1.0), (1.0, -2.0), (0.5, 0.25), (0.3, 0.1), (-1.0, 0.0)]))
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, (2, 3, 4, 5)[: len(layout) or 4]).astype(np.float32)
    axis = layout.index("C") if layout else 1
    thresholds = np.sort(rng.integers(-8, 8, (1 if shared_row else x.shape[axis], count)), 1).astype(np.float32)
    want = np.moveaxis(multithreshold(np.moveaxis(x, axis, 1), thresholds, np.float32(scale), np.float32(bias)), 1, axis)
    attrs = {"data_layout": layout} if layout else {}
    for y in one_node("MultiThreshold", x, thresholds, out_dtype="INT4", out_scale=scale, out_bias=bias, **attrs).values():
        np.testing.assert_array_equal(y, want)


def small_network(seed: int) -> Layers:
    """Convolution, normalization, activation, pool and linear layer with quantizers of random widths, modes and zero points.

    Scales and sizes are powers of two, so that every float sum of the package is exact, averages too.
    """
    rng = np.random.default_rng(seed)
    power = lambda size: 2.0 ** rng.integers(-3, 1, size)  # noqa: E731
    net = Layers("small", (2, 3, 8, 8))

    def quantizer(scale: Any) -> dict[str, Any]:
        bits, signed, narrow = int(rng.integers(1, 9)), int(rng.integers(2)), int(rng.integers(2))
        zero = 0 if bits == 1 else int(rng.integers(-1, 3))
        mode = str(rng.choice([*ROUNDINGS]))
        return {"scale": scale, "bits": bits, "signed": signed, "narrow": narrow and bits > 1, "zero": zero, "mode": mode}

    net.quant(**quantizer(power(())))
    net.mac("Conv", rng.normal(0, 1, (4, 3, 3, 3)), quantizer(power((4, 1, 1, 1))), pads=[1, 1, 1, 1])
    if rng.integers(2):
        net.add("BatchNormalization", *(rng.integers(1, 5, 4) for _ in range(3)), 4.0 ** rng.integers(0, 3, 4), epsilon=0.0)
    if rng.integers(2):
        net.add("Relu")
    net.quant(**quantizer(power(()))) if rng.integers(2) else net.thresholds(np.sort(rng.integers(-9, 9, (4, 3)), 1), "INT4", 1.0, -1.0)
    if rng.integers(2):
        net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.add("GlobalAveragePool") if rng.integers(2) else None
    net.add("Flatten", axis=1)
    inputs = {"GlobalAveragePool": 4}.get(net.nodes[-2].op_type) or 4 * (16 if any(n.op_type == "MaxPool" for n in net.nodes) else 64)
    net.mac("MatMul", rng.normal(0, 1, (inputs, 5)), quantizer(power((5,))))
    return net


@given(st.integers(0, 10**6))
def test_small_networks_equal_the_package(seed: int) -> None:
    model = small_network(seed).model(5)
    x = np.random.default_rng(seed).integers(-40, 40, (2, 3, 8, 8)).astype(np.float32) / 16
    want = run_qonnx(model, {"image": x})
    program = as_written(read(source_of(model, "small", "0" * 64)))
    for engine in ENGINES:
        np.testing.assert_array_equal(execute(program, {"image": x}, engine=engine).tensors[program.graph.outputs[0]], want, engine)


# Networks --------------------------------------------------------------------------------------------------------------------------


def mnist(shift: float, scale: float) -> tuple[Array, Array]:
    x, y = loaders().mnist()
    return ((x[:, None].astype(np.float32) / np.float32(255) - np.float32(shift)) / np.float32(scale)).astype(np.float32), y


def cifar() -> tuple[Array, Array]:
    x, y, _ = loaders().cifar10_lossless()
    return cnv_images(x), y


def from_file(path: str) -> Callable[[], Any]:
    return lambda: onnx.load(shared(f"models/{path}"))


RESNETS = {f"resnet10_w{b}a{b}": from_file(f"lowbit_resnet10_mnist_qonnx/resnet10_mnist_w{b}a{b}.onnx") for b in (2, 4, 5)}
LABELLED: dict[str, tuple[Callable[[], Any], Callable[[], tuple[Array, Array]]]] = {
    "TFC_1W1A": (from_file("qonnx_zoo/TFC_1W1A.onnx"), lambda: mnist(0, 1)),
    "TFC_2W2A": (from_file("qonnx_zoo/TFC_2W2A.onnx"), lambda: mnist(0, 1)),
    **{name: (load, lambda: mnist(0.131, 0.308)) for name, load in RESNETS.items()},
    "CNV_W1A1": (lambda: finn_cnv(1), cifar),
    "CNV_W2A2": (lambda: finn_cnv(2), cifar),
}
UNLABELLED = {f: from_file(f"qonnx_zoo/{f}.onnx") for f in ("kwsmlp_w3a3", "qkeras_jettagging", "unsw_nb15-mlp-w2a2")}
CHUNK = 250


@cache
def graph_of(load: Callable[[], Any], batch: int) -> Graph:
    """The network for a batch; files that fix a batch of 1 leave it open here."""
    source = source_of(load(), "network", "0" * 64)
    name = source.inputs[0]
    tensor = source.tensors[name]
    assert tensor.shape is not None
    opened = replace(tensor, shape=("N", *tensor.shape[1:]))
    return read(replace(source, tensors={**source.tensors, name: opened}), {name: (batch, *(int(d) for d in tensor.shape[1:]))})


def predictions(load: Callable[[], Any], x: Array) -> Array:
    graph = graph_of(load, CHUNK)
    assembly, found = assemble(as_written(graph)), []
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        filled = np.concatenate([part, np.repeat(part[-1:], CHUNK - len(part), 0)])
        found.append(assembly.run({graph.inputs[0]: filled}).tensors[graph.outputs[0]][: len(part)])
    return np.concatenate(found)


@pytest.mark.parametrize("name", [*LABELLED, *UNLABELLED])
def test_network_outputs_equal_the_package(name: str) -> None:
    """Both engines; exact where the package's float sums are, else to float rounding."""
    load = LABELLED[name][0] if name in LABELLED else UNLABELLED[name]
    x = LABELLED[name][1]()[0][:6] if name in LABELLED else None
    graph = graph_of(load, 6)
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32) if x is None else x
    x = np.sign(x) if name.startswith("unsw") else x
    want = run_qonnx(load(), {graph.inputs[0]: x})
    macs = [s for layer in as_written(graph).layers for s in layer.steps if s.op in ("conv", "matmul")]
    assert sum(not s.integer for s in macs) <= 2, "all but a first and last layer on real inputs run in integers"
    for engine in ENGINES:
        got = execute(as_written(graph), {graph.inputs[0]: x}, engine=engine).tensors[graph.outputs[0]]
        if name.startswith(("TFC", "CNV", "unsw")):
            np.testing.assert_array_equal(got, want, engine)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELLED)
def test_accuracy_equals_the_package(name: str, say: Say) -> None:
    load, data = LABELLED[name]
    x, y = data()
    model, mine = load(), predictions(load, x).argmax(1)
    theirs = np.concatenate(
        [run_qonnx(model, {graph_of(load, CHUNK).inputs[0]: x[i : i + CHUNK]}).argmax(1) for i in range(0, len(x), CHUNK)]
    )
    say(f"{name}: top-1 {(mine == y).mean():.4f}, qonnx {(theirs == y).mean():.4f}, {(mine == theirs).sum()} of {len(y)} equal")
    np.testing.assert_array_equal(mine, theirs)
