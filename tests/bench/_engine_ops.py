"""Operators other than plain convolutions, each a file of one operator, beside LiteRT's default kernels (XNNPACK where it takes them)."""

from __future__ import annotations

import numpy as np

from hwsim.steps.assemble import assemble
from hwsim.steps.lower import as_written
from tests.bench._clock import Row, ratio
from tests.data import shared
from tests.litert import Judged
from tests.tflite_models import Model, quant


def operators() -> list[Row]:
    """Every output is equal to LiteRT's; no least speed is wanted of these."""
    files = {
        "softmax of 128 x 128": softmax().bytes(),
        "8 products of 128 x 64 x 128": batched_product(False).bytes(),
        "the same, the right one transposed": batched_product(True).bytes(),
        "transposed convolution 3x3, stride 2, 32 to 16 channels, 32 x 32": transposed().bytes(),
        "SVDF of 320 features, 1024 filters over 20 steps, rank 2": svdf().bytes(),
        "LSTM network of MNIST": shared(LSTM).read_bytes(),
    }
    return [_row(title, raw) for title, raw in files.items()]


LSTM = "models/tflite_misc/keras_lstm_mnist_ptq.tflite"


def _row(title: str, raw: bytes) -> Row:
    judged = Judged(raw, title, "BUILTIN")
    feeds = judged.random_feeds(np.random.default_rng(0))
    assert judged.differing(feeds, "numba") == [], title
    ours, theirs = assemble(as_written(judged.graph)), judged.interpreter
    found, words = ratio(theirs.invoke, lambda: ours.run(feeds))
    by_numpy = [s.step.op for s in ours.segments if s.step is not None]
    return Row(f"{title}, against LiteRT", found, 0, 0, f"{words}; steps left to NumPy: {', '.join(by_numpy) or 'none'}")


def softmax() -> Model:
    m = Model()
    x, y = m.input([128, 128], "int8", quant(0.1, 3)), m.tensor([128, 128], "int8", quant(1 / 256, -128))
    return m.operator("SOFTMAX", [x], [y], "Softmax", 3, beta=1.0)


def batched_product(turned: bool) -> Model:
    m, right = Model(), [8, 128, 64] if turned else [8, 64, 128]
    a, b = m.input([8, 128, 64], "int8", quant(0.02, 3)), m.input(right, "int8", quant(0.03, -5))
    y = m.tensor([8, 128, 128], "int8", quant(0.4, 1))
    return m.operator("BATCH_MATMUL", [a, b], [y], "BatchMatMul", 3, adjX=False, adjY=turned)


def transposed() -> Model:
    m, w = Model(), np.random.default_rng(1).integers(-127, 128, (16, 3, 3, 32))
    x, size = m.input([1, 32, 32, 32], "int8", quant(0.02, 3)), m.numbers([1, 64, 64, 16])
    held = m.tensor(w.shape, "int8", quant(np.full(16, 0.01, np.float32), np.zeros(16), 0), w)
    bias = m.tensor([16], "int32", quant(np.full(16, 0.0002, np.float32), np.zeros(16), 0), np.arange(16) * 100)
    y = m.tensor([1, 64, 64, 16], "int8", quant(0.5, 1))
    return m.operator("TRANSPOSE_CONV", [size, held, x, bias], [y], "TransposeConv", 4, padding=0, strideH=2, strideW=2)


def svdf() -> Model:
    m, rng = Model(), np.random.default_rng(2)
    x, y = m.input([1, 320], "int8", quant(0.02, 3)), m.tensor([1, 512], "int8", quant(0.1, 1))
    features = m.tensor([1024, 320], "int8", quant(0.01), rng.integers(-127, 128, (1024, 320)))
    time = m.tensor([1024, 20], "int16", quant(0.0001), rng.integers(-32767, 32768, (1024, 20)))
    bias, state = m.tensor([512], "int32", quant(1e-6), np.arange(512)), m.tensor([1, 20480], "int16", quant(0.001), variable=True)
    return m.operator("SVDF", [x, features, time, bias, state], [y], "SVDF", 3, rank=2, fusedActivationFunction=1)
