"""TFLite networks against LiteRT's reference kernels: every tensor of every network, by both executors, and every prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hwsim
from tests import litert_rows
from tests.conftest import Say
from tests.data import ROOT, loaders, shared
from tests.litert import Judged

SMALL = (
    "mlperf_tiny/models/pretrainedResnet_quant",
    "mlperf_tiny/models/kws_ref_model",
    "mlperf_tiny/models/vww_96_int8",
    "mlperf_tiny/models/ad01_int8",
    "mlperf_tiny/models/str_ww_ref_model",
    "mlperf_tiny/models/kws_ref_model_float32",  # int8 filters: the inputs of convolutions are quantized at run time
    "tflite_misc/keras_lstm_mnist_ptq",
    "imagenet_int8_tflite/mobilenet_v1_0.25_128_quant",
    "mlperf_tiny/models/pretrainedResnet",
    "mlperf_tiny/models/ad01_fp32",
    "tflite_misc/tflm_mnist_lstm_float",
)
LARGE = (
    "imagenet_int8_tflite/mobilenet_v1_0.25_224_quant",
    "imagenet_int8_tflite/mobilenet_v1_0.75_192_quant",
    "imagenet_int8_tflite/mobilenet_v2_1.0_224_quant",
    "imagenet_int8_tflite/tf2_mobilenet_v2_1.0_224_ptq",
    "imagenet_float/mobilenet_v1_0.25_224_float",
    "mlperf_tiny/models/vww_96_float",
    "tflite_misc/deeplabv3_mnv2_dm05_pascal_quant",
    "tflite_misc/deeplabv3_float_257",
)


def judged(path: str, kernels: str = "BUILTIN_REF") -> Judged:
    file = shared(f"models/{path}.tflite")
    return Judged(file.read_bytes(), file.stem, kernels)


def test_all_networks_are_judged() -> None:
    """No TFLite file of the shared data is left out."""
    shared("models/loaders.py")
    found = {p.relative_to(ROOT / "models").with_suffix("").as_posix() for p in Path(ROOT, "models").rglob("*.tflite")}
    assert found == {*SMALL, *LARGE}


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.rpartition("/")[2])
def test_every_tensor(path: str, engine: str) -> None:
    network, rng = judged(path), np.random.default_rng(7)
    for _ in range(2):
        assert network.differing(network.random_feeds(rng), engine) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("path", LARGE, ids=lambda p: p.rpartition("/")[2])
def test_every_tensor_of_large_networks(path: str, engine: str) -> None:
    network = judged(path)
    assert network.differing(network.random_feeds(np.random.default_rng(7)), engine) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"), [(n, 500) for n in litert_rows.SMALL] + [(n, 20) for n in litert_rows.LARGE], ids=lambda v: str(v).replace(" ", "-")
)
def test_predictions_of_labelled_rows(name: str, most: int, say: Say) -> None:
    """The first rows; `python -m tests.bench litert` takes all of them."""
    score = litert_rows.judged_rows({**litert_rows.SMALL, **litert_rows.LARGE}[name], most)
    say(f"{name}: {score}")
    assert score.same_output == score.same_prediction == score.rows
    assert score.correct == score.reference_correct > score.rows / 4


def test_anomaly_detection_scores() -> None:
    """The reconstruction error of the one clip that is there, and every output, against LiteRT."""
    network, x = judged("mlperf_tiny/models/ad01_int8"), loaders().ad01_one()
    given, out = network.network.tensors[network.network.inputs[0]].quant, network.network.outputs[0]
    grid = network.network.tensors[out].quant
    assert given is not None and grid is not None
    q = given.quantize(x)
    found = hwsim.execute(network.graph, {network.network.inputs[0]: q})[out]
    wanted = np.concatenate([network.reference({network.network.inputs[0]: row[None]}, [out])[out] for row in q])
    assert np.array_equal(found, wanted)
    error = float(((x - grid.dequantize(found)) ** 2).mean())
    assert error == pytest.approx(10.26029, abs=0.05), "published for the int8 network on this clip"
