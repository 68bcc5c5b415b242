"""The float networks that quantization is judged on, with their calibration and evaluation rows, which never overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hwsim.graph import SourceGraph
from hwsim.io.model import read_model
from hwsim.quant import Array
from tests.data import loaders, shared

__all__ = ["NETWORKS", "SMALL", "Case", "case"]

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, eq=False)
class Case:
    """A float network, inputs to calibrate on, and inputs with labels to judge on."""

    name: str
    source: SourceGraph
    calibration: Array
    x: Array
    y: Array
    metric: str = "top1"

    def first(self, rows: int) -> Case:
        """The same with fewer rows to judge on."""
        return Case(self.name, self.source, self.calibration, self.x[:rows], self.y[:rows], self.metric)


@cache
def _cifar() -> tuple[Any, Any]:
    data = loaders()
    images, labels = data.cifar10_jpeg()
    return (images[:5000], labels[:5000]), data.cifar10_calib()


def _planes(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def resnet20() -> Case:
    """CIFAR-10: 256 training images calibrate; the first 5,000 JPEG test images judge."""
    (x, y), (seen, _) = _cifar()
    source = read_model(shared("models/resnet_cifar10_float/resnet20_cifar10.onnx"))
    return Case("resnet20", source, _planes((seen[:256] / 255 - MEAN) / STD), _planes((x / 255 - MEAN) / STD), y)


def resnet8() -> Case:
    """MLPerf Tiny's image classification: the same images as raw pixels."""
    (x, y), (seen, _) = _cifar()
    source = read_model(shared("models/mlperf_tiny/models/pretrainedResnet.tflite"))
    return Case("resnet8", source, seen[:256].astype(np.float32), x.astype(np.float32), y)


def vww() -> Case:
    """Visual wake words: the first 128 rows calibrate, 372 judge."""
    images, labels = loaders().vww01()
    x, y = _planes(images / 255), labels
    return Case("vww_mobilenet", read_model(shared("models/mlperf_tiny/submissions/vww_96_float.onnx")), x[:128], x[128:], y[128:])


def _keywords() -> tuple[Array, Array]:
    x, y = loaders().kws01()
    return ((x[:500].astype(np.float32) - 83) * np.float32(0.5847029)).reshape(-1, 49, 10), y[:500]


def kws_ref() -> Case:
    """MLPerf Tiny's keyword spotting (its pointwise weights are stored in 8 bits): rows 0 to 127 calibrate, 128 to 499 judge."""
    x, y = _keywords()
    source = read_model(shared("models/mlperf_tiny/models/kws_ref_model_float32.tflite"))
    return Case("kws_ref", source, x[:128, ..., None], x[128:, ..., None], y[128:])


def ali_kws() -> Case:
    """A smaller keyword spotting network, float throughout: the same rows."""
    x, y = _keywords()
    source = read_model(shared("models/mlperf_tiny/submissions/ali_model_kws.onnx"))
    return Case("ali_model_kws", source, x[:128, ..., None], x[128:, ..., None], y[128:])


def squeezenet() -> Case:
    """ImageNet samples: every fifth calibrates (48 of them), 200 of the others judge."""
    images, labels = loaders().imagenet_samples()
    x = _planes(images[:, 14:241, 14:241, ::-1]) - np.array([104, 117, 123], np.float32)[:, None, None]
    seen = np.arange(len(x)) % 5 == 0
    source = read_model(shared("models/imagenet_float/squeezenet_v1.1.onnx"))
    return Case("squeezenet", source, x[seen][:48], x[~seen][:200], labels[~seen][:200])


def unet() -> Case:
    """Retinal vessels: 12 crops from everywhere in images 0 to 2 calibrate, images 3 to 9 judge by Dice over all their pixels."""
    images, masks, _ = loaders().retina()
    padded = np.pad(images.astype(np.float32) / 255, ((0, 0), (0, 0), (0, 3)))[:, None]
    rng = np.random.default_rng(0)
    corners = [(i % 3, int(rng.integers(0, 584 - 128)), int(rng.integers(0, 568 - 128))) for i in range(12)]
    seen = np.stack([padded[i, :, r : r + 128, c : c + 128] for i, r, c in corners])
    source = read_model(shared("models/retina_unet/retina_unet.onnx"))
    return Case("retina_unet", source, seen, padded[3:10], np.pad(masks[3:10], ((0, 0), (0, 0), (0, 3))), "dice")


NETWORKS: dict[str, Callable[[], Case]] = {
    "resnet20": resnet20,
    "resnet8": resnet8,
    "vww_mobilenet": vww,
    "kws_ref": kws_ref,
    "ali_model_kws": ali_kws,
    "squeezenet": squeezenet,
    "retina_unet": unet,
}
SMALL = tuple(NETWORKS)[:5]


@cache
def case(name: str) -> Case:
    """A network with its data, read once."""
    return NETWORKS[name]()
