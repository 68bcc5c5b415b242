"""Files of ONNX: every one of the shared data is judged, in every opset, with external data, and with weights in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import hwsim
from hwsim.building import build_network
from hwsim.graph import Graph
from hwsim.io.onnx_model import model_proto, source_of
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests import networks
from tests.data import ROOT, shared
from tests.judges import MICROSOFT, OneNode, session
from tests.steps import ENGINES
from tests.test_convert import feeds_of

# real networks: (file, shape of the input where it is open)
REAL = {
    "imagenet_float/squeezenet_v1.1": None,
    "mlperf_tiny/submissions/ali_model_ad": None,
    "mlperf_tiny/submissions/ali_model_kws": None,
    "mlperf_tiny/submissions/vww_96_float": None,
    "resnet_cifar10_float/resnet20_cifar10": None,
    "resnet_cifar10_float/resnet56_cifar10": None,
    "retina_unet/retina_unet": (1, 1, 96, 96),
}
QONNX = ("qonnx_zoo/", "lowbit_resnet10_mnist_qonnx/")  # tests/test_qonnx.py


def test_every_file_is_judged() -> None:
    shared("models/loaders.py")
    found = {p.relative_to(ROOT / "models").with_suffix("").as_posix() for p in Path(ROOT, "models").rglob("*.onnx")}
    quantized = {n.file.removesuffix(".onnx") for n in (*networks.QDQ.values(), networks.QOPERATOR)}
    assert {f for f in found if not f.startswith(QONNX)} == {*REAL, *quantized}


@pytest.mark.parametrize("file", REAL)
def test_real_networks_equal_onnxruntime(file: str) -> None:
    """To float32 rounding."""
    path, shape = shared(f"models/{file}.onnx"), REAL[file]
    name = onnx.load(path).graph.input[0].name
    graph = hwsim.load_model(path, shapes={name: shape} if shape else None)
    feeds = feeds_of(graph)
    wanted = session(onnx.load(path)).run(None, feeds)
    found = hwsim.execute(graph, feeds)
    for t, y in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[t], y, rtol=1e-3, atol=1e-4 * max(float(np.abs(y).max()), 1e-3))


@pytest.mark.parametrize(("bits", "opset"), [*(("fp32", v) for v in range(10, 26)), *(("w8a8", v) for v in range(13, 26))])
def test_every_opset_means_the_same(bits: str, opset: int) -> None:
    """Operators that are in all of them; scales per channel are since 13."""
    model = model_proto(build_network("resnet8", bits))
    first = read(source_of(model, "net", "0" * 64))
    model.opset_import[0].version = opset
    other = read(source_of(model, "net", "0" * 64))
    feeds = feeds_of(first)
    ours, theirs = (execute(as_written(g), feeds).tensors[g.outputs[0]] for g in (first, other))
    assert np.array_equal(ours, theirs)


def test_external_data(tmp_path: Path) -> None:
    model, file = model_proto(build_network("resnet8", "w4a8")), tmp_path / "net.onnx"
    inside = read(source_of(onnx.load_from_string(model.SerializeToString()), "net", "0" * 64))
    onnx.save_model(model, file, save_as_external_data=True, location="net.data", size_threshold=64)
    assert (tmp_path / "net.data").stat().st_size > file.stat().st_size / 4
    outside = hwsim.load_model(file)
    feeds = feeds_of(inside)
    assert np.array_equal(hwsim.execute(inside, feeds)[inside.outputs[0]], hwsim.execute(outside, feeds)[outside.outputs[0]])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("bits", "block", "zeros"), [(4, 32, True), (4, 16, False), (8, 64, True), (8, 32, False)])
def test_weights_in_blocks_equal_onnxruntime(bits: int, block: int, zeros: bool, engine: str) -> None:
    """MatMulNBits at its accuracy level 0: float32 products of real weights."""
    rng, (m, n, k) = np.random.default_rng(bits + block), (3, 24, 200)
    blocks = -(-k // block)
    packed = rng.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    node = OneNode("MatMulNBits", MICROSOFT, K=k, N=n, bits=bits, block_size=block)
    x = rng.normal(0, 1, (m, k)).astype(np.float32)
    node.feed(x).constant(packed).constant(rng.uniform(0.01, 0.1, n * blocks).astype(np.float32))
    if zeros:
        node.constant(rng.integers(0, 256, n * -(-blocks * bits // 8)).astype(np.uint8))
    wanted = node.run()
    model = node.model()
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (m, n)))
    graph = read(source_of(model, "one", "0" * 64))
    found = execute(as_written(graph), {graph.inputs[0]: x}, engine=engine).tensors["y"]
    largest = float(np.abs(x).sum(1).max()) * 0.1 * (1 << bits)
    assert float(np.abs(found - wanted).max()) <= 1e-6 * largest
    assert _block(graph) == block


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [True, False])
def test_quantized_gemm_with_a_real_output(bias: bool, engine: str) -> None:
    """QGemm without an output scale: exactly ONNX Runtime's float32 of the accumulator."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 256, (3, 20)).astype(np.uint8), rng.integers(-128, 128, (5, 20)).astype(np.int8)
    node = OneNode("QGemm", MICROSOFT, transB=1, alpha=0.5).feed(a).constant(np.float32(0.02)).constant(np.uint8(7))
    node.constant(b).constant(np.float32(0.03)).constant(np.int8(3))
    node = node.constant(rng.integers(-1000, 1000, 5).astype(np.int32)) if bias else node.absent()
    model = node.model()
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (3, 5)))
    graph = read(source_of(model, "one", "0" * 64))
    found = execute(as_written(graph), {graph.inputs[0]: a}, engine=engine).tensors["y"]
    assert np.array_equal(found, node.run())


def _block(graph: Graph) -> int:
    return next(t.quant.block_size for t in graph.tensors.values() if t.quant is not None and t.quant.block_size)
