"""The labelled rows of the shared data as the TFLite networks take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

import hwsim
from hwsim.quant import Array
from tests.data import loaders, shared
from tests.litert import Judged

BATCH = 50


@dataclass(frozen=True)
class Rows:
    """Labelled inputs of one network; `labels` are classes."""

    network: str
    read: Callable[[], tuple[Array, Array]]


def _signed(x: Array) -> Array:
    return (x.astype(np.int16) - 128).astype(np.int8)


def _keywords() -> tuple[Array, Array]:
    x, y = loaders().kws01()
    return x.reshape(-1, 49, 10, 1), y


def _people() -> tuple[Array, Array]:
    x, y = loaders().vww01()
    return _signed(x), y


def _objects() -> tuple[Array, Array]:
    x, y, _ = loaders().cifar10_lossless()
    return _signed(x), y


def _objects_jpeg() -> tuple[Array, Array]:
    x, y = loaders().cifar10_jpeg()
    return _signed(x), y


def _digits() -> tuple[Array, Array]:
    return loaders().mnist()


@cache
def _samples() -> tuple[Array, Array]:
    return loaders().imagenet_samples()


def _imagenet(size: int) -> Callable[[], tuple[Array, Array]]:
    """The central 224 x 224 of each image at the network's size; label 0 is the background."""

    def read() -> tuple[Array, Array]:
        image = pytest.importorskip("PIL.Image")
        x, y = _samples()
        x = x[:, 16:240, 16:240]
        if size != 224:
            x = np.stack([np.asarray(image.fromarray(v).resize((size, size), image.Resampling.BILINEAR)) for v in x])
        return x, y + 1

    return read


SMALL = {
    "KWS": Rows("mlperf_tiny/models/kws_ref_model", _keywords),
    "VWW": Rows("mlperf_tiny/models/vww_96_int8", _people),
    "IC": Rows("mlperf_tiny/models/pretrainedResnet_quant", _objects),
    "IC, JPEG": Rows("mlperf_tiny/models/pretrainedResnet_quant", _objects_jpeg),
    "MNIST LSTM": Rows("tflite_misc/keras_lstm_mnist_ptq", _digits),
}
LARGE = {
    "MobileNet v1 0.25 128": Rows("imagenet_int8_tflite/mobilenet_v1_0.25_128_quant", _imagenet(128)),
    "MobileNet v1 0.25 224": Rows("imagenet_int8_tflite/mobilenet_v1_0.25_224_quant", _imagenet(224)),
    "MobileNet v1 0.75 192": Rows("imagenet_int8_tflite/mobilenet_v1_0.75_192_quant", _imagenet(192)),
    "MobileNet v2 1.0 224": Rows("imagenet_int8_tflite/mobilenet_v2_1.0_224_quant", _imagenet(224)),
    "MobileNet v2 1.0 224, int8": Rows("imagenet_int8_tflite/tf2_mobilenet_v2_1.0_224_ptq", _imagenet(224)),
}


@dataclass(frozen=True)
class Score:
    """What both runtimes predict for the same rows, and how many whole outputs are equal."""

    rows: int
    correct: int
    reference_correct: int
    same_prediction: int
    same_output: int

    def __str__(self) -> str:
        return (
            f"top-1 {self.correct / self.rows:.4f} of {self.rows} rows, LiteRT {self.reference_correct / self.rows:.4f}, "
            f"{self.same_prediction} predictions and {self.same_output} outputs equal"
        )


def judged_rows(rows: Rows, most: int | None = None) -> Score:
    """The first `most` rows (None: all) through hwsim and LiteRT's reference kernels."""
    file = shared(f"models/{rows.network}.tflite")
    judged, (x, y) = Judged(file.read_bytes(), file.stem), rows.read()
    x, y = x[:most], np.asarray(y[:most])
    name, out = judged.network.inputs[0], judged.network.outputs[0]
    found = np.concatenate([hwsim.execute(judged.graph, {name: part})[out] for part in batches(x)])
    wanted = np.concatenate([judged.reference({name: row[None]}, [out])[out] for row in x])
    ours, theirs = found.argmax(-1), wanted.argmax(-1)
    same = (found == wanted).all(-1)
    return Score(len(x), int((ours == y).sum()), int((theirs == y).sum()), int((ours == theirs).sum()), int(same.sum()))


def batches(x: Array) -> Iterator[Array]:
    for start in range(0, len(x), BATCH):
        yield x[start : start + BATCH]
