"""Whole networks as one table of compiled calls: no step of them is left to NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim import load_arch, load_model
from hwsim.graph import Graph
from hwsim.quantizing import quantize_for
from hwsim.steps.assemble import assemble
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from hwsim.topologies import build
from tests.data import shared
from tests.networks import QDQ

FILES = (
    "mlperf_tiny/models/kws_ref_model.tflite",
    "mlperf_tiny/models/pretrainedResnet_quant.tflite",
    "tflite_misc/deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "tflite_misc/keras_lstm_mnist_ptq.tflite",
    "qonnx_zoo/TFC_2W2A.onnx",
    "qonnx_zoo/kwsmlp_w3a3.onnx",
    "qonnx_zoo/qkeras_jettagging.onnx",
    "qonnx_zoo/unsw_nb15-mlp-w2a2.onnx",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w2a2.onnx",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w4a4.onnx",
    "lowbit_resnet10_mnist_qonnx/resnet10_mnist_w5a5.onnx",
    "imagenet_float/mobilenet_v1_0.25_224_float.tflite",
    "imagenet_float/squeezenet_v1.1.onnx",
    "mlperf_tiny/models/ad01_fp32.tflite",
    "mlperf_tiny/models/kws_ref_model_float32.tflite",
    "mlperf_tiny/models/pretrainedResnet.tflite",
    "mlperf_tiny/models/vww_96_float.tflite",
    "mlperf_tiny/submissions/ali_model_ad.onnx",
    "mlperf_tiny/submissions/ali_model_kws.onnx",
    "mlperf_tiny/submissions/vww_96_float.onnx",
    "resnet_cifar10_float/resnet20_cifar10.onnx",
    "resnet_cifar10_float/resnet56_cifar10.onnx",
    "tflite_misc/deeplabv3_float_257.tflite",
    "tflite_misc/tflm_mnist_lstm_float.tflite",
)


def left_to_numpy(graph: Graph) -> list[str]:
    segments = assemble(as_written(graph)).segments
    return [s.step.op for s in segments if s.step is not None] + ["more than one table"] * (len(segments) - 1)


@pytest.mark.parametrize("file", FILES)
def test_files(file: str) -> None:
    assert left_to_numpy(load_model(shared(f"models/{file}"))) == []


@pytest.mark.parametrize("name", ["kj_resnet", "kj_mobilenet_v1", "retina_unet"])
def test_quantized_by_others(name: str) -> None:
    assert left_to_numpy(QDQ[name].graph(1, small=True)) == []


@pytest.mark.parametrize(("name", "chip"), [("mobilenet_v3_small", "tensorrt_t4"), ("shufflenet_v2_x0_5", "fbgemm_x86")])
def test_quantized_by_hwsim(name: str, chip: str) -> None:
    """Where a chip's rules leave operators in real numbers too."""
    source = build(name, 64)
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    done = quantize_for(load_arch(chip), source, x, "w8a8", "minmax")
    assert left_to_numpy(read(done.network, {done.network.inputs[0]: x.shape})) == []
