"""The quantized networks of the shared data with the inputs that they were made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from hwsim.graph import Graph
from hwsim.io.onnx_model import read_onnx
from hwsim.quant import Array
from hwsim.steps.read import read
from tests.data import loaders, shared


@dataclass(frozen=True)
class Labelled:
    """A network file, its input's name, and how labelled rows become inputs: (x, y), one row a sample."""

    file: str
    rows: Callable[[], tuple[Array, Array]]
    metric: str = "top1"

    @property
    def path(self) -> Path:
        return shared(f"models/{self.file}")

    def graph(self, batch: int, qdq: str = "integer", small: bool = False) -> Graph:
        """The network for a batch of rows (files with a fixed batch keep theirs); `small` for what `sample` gives."""
        source = read_onnx(self.path)
        name = source.inputs[0]
        declared = source.tensors[name].shape
        assert declared is not None
        size = batch if isinstance(declared[0], str) else int(declared[0])
        return read(source, {name: (size, *(self.sample(1) if small else self.rows()[0]).shape[1:])}, qdq=qdq)

    def sample(self, rows: int) -> Array:
        """A few inputs; of large images only the middle, where the network takes any size."""
        x = self.rows()[0][:rows]
        return x[..., 200:392, 200:392] if x.shape[-1] > 500 and x.ndim == 4 else x


@cache
def _cifar() -> tuple[Array, Array]:
    x, y, _ = loaders().cifar10_lossless()
    return x, y


def _resnet20() -> tuple[Array, Array]:
    x, y = _cifar()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return ((x / 255 - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32), y


def _ic() -> tuple[Array, Array]:
    x, y = _cifar()
    return x.astype(np.float32), y


@cache
def _vww() -> tuple[Array, Array]:
    x, y = loaders().vww01()
    return (x / 255).transpose(0, 3, 1, 2).astype(np.float32), y


@cache
def _ad() -> tuple[Array, Array]:
    x = loaders().ad01_one()
    return x, x


@cache
def _imagenet() -> tuple[Array, Array]:
    x, y = loaders().imagenet_samples()
    cut = x[:, 14:241, 14:241, ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    return np.ascontiguousarray(cut.transpose(0, 3, 1, 2)), y


@cache
def _retina() -> tuple[Array, Array]:
    x, y, _ = loaders().retina()
    wide = ((0, 0), (0, 0), (0, 3))
    return (np.pad(x, wide) / 255).astype(np.float32)[:, None], np.pad(y, wide)


QDQ = {
    "resnet20": Labelled("resnet_cifar10_float/resnet20_cifar10_int8_qdq.onnx", _resnet20),
    "kj_resnet": Labelled("mlperf_tiny/submissions/kj_resnet.onnx", _ic),
    "kj_mobilenet_v1": Labelled("mlperf_tiny/submissions/kj_mobilenet_v1.onnx", _vww),
    "kj_deep_autoencoder": Labelled("mlperf_tiny/submissions/kj_deep_autoencoder.onnx", _ad, "mse"),
    "squeezenet": Labelled("imagenet_float/squeezenet_v1.1_int8_qdq.onnx", _imagenet),
    "retina_unet": Labelled("retina_unet/retina_unet_int8_qdq.onnx", _retina, "dice"),
}
QOPERATOR = Labelled("resnet_cifar10_float/resnet20_cifar10_int8_qop.onnx", _resnet20)
