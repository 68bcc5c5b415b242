"""Softmax: both executors on rows of every length and place, judged by ONNX Runtime and by LiteRT's reference kernels."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from hwsim.graph import Tensor
from hwsim.quant import Array
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from tests.steps import ENGINES, quant, step_program, stored

SHAPES = [((5, 1), 1), ((3, 17), 1), ((6, 40, 3), 1), ((9, 130), 0), ((2, 3, 4, 5), (1, 2, 3)), ((1, 999, 1, 1), 1), ((2, 4000), 1)]
FORMS = [
    ("onnxruntime", "uint8", "uint8"),
    ("litert_ref", "int8", "int8"),
    ("litert_ref", "int8", "int16"),
    ("litert_ref", "int16", "int16"),
]
Axes = int | tuple[int, ...]


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
@pytest.mark.parametrize(("arithmetic", "x_format", "y_format"), FORMS)
def test_rows_of_every_length_and_place(arithmetic: str, x_format: str, y_format: str, shape: tuple[int, ...], axes: Axes) -> None:
    """Scales from almost flat rows, where sums are largest, to one number above all."""
    rng = np.random.default_rng(len(shape))
    for scale in (0.001, 0.1, 2.0):
        q, y = quant(x_format, np.float32(scale), 3), quant(y_format, np.float32(2.0**-8 if y_format != "int16" else 2.0**-15))
        x = rng.integers(int(q.format.low), int(q.format.high) + 1, shape).astype(q.format.dtype)
        program, feeds = step_program(
            "softmax", [(stored("x", x, q), x)], (shape, y), {"axes": np.atleast_1d(axes).tolist(), "log": False}, arithmetic
        )
        a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
        assert np.array_equal(a, b), scale
        assert all(s.step is None for s in assemble(program).segments)


@pytest.mark.parametrize("columns", [1, 15, 197, 1000])
def test_long_rows_equal_onnxruntime(columns: int) -> None:
    from tests.judges import MICROSOFT, OneNode

    rng, q, y = np.random.default_rng(columns), quant("uint8", np.float32(0.1), 3), quant("uint8", np.float32(1 / 256))
    x = rng.integers(0, 256, (7, columns)).astype(np.uint8)
    program, feeds = step_program("softmax", [(stored("x", x, q), x)], (x.shape, y), {"axes": (1,), "log": False})
    wanted = OneNode("QLinearSoftmax", MICROSOFT, axis=-1, opset=13).feed(x).quant(q).quant(y).run()
    assert np.array_equal(execute(program, feeds).tensors["y"], wanted)


@pytest.mark.parametrize("columns", [1, 15, 197, 1000])
def test_long_rows_equal_litert(columns: int) -> None:
    from tests.litert import Judged
    from tests.tflite_models import Model
    from tests.tflite_models import quant as grid

    m: Any = Model()
    x, y = m.input([7, columns], "int8", grid(0.07, 3)), m.tensor([7, columns], "int8", grid(1 / 256, -128))
    judged = Judged(m.operator("SOFTMAX", [x], [y], "Softmax", 3, beta=1.0).bytes(), "softmax")
    assert judged.differing(judged.random_feeds(np.random.default_rng(columns)), "numba") == []


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 17, 48, 100, 1000])
def test_float_rows_equal_onnxruntime(columns: int, log: bool) -> None:
    """In the order of its AVX-512 kernel: other processors have another one, and round a few numbers otherwise."""
    from tests.judges import OneNode

    rng = np.random.default_rng(columns)
    x = (rng.normal(0, 3, (9, columns)) * 10.0 ** rng.integers(-2, 3, (9, 1))).astype(np.float32)
    a, b = in_float32(x, (1,), log=log)
    wanted = OneNode("LogSoftmax" if log else "Softmax", axis=-1).feed(x).run()
    assert np.array_equal(a, b)
    assert np.array_equal(b, wanted) if native_avx512() else np.allclose(b, wanted, 1e-6, 1e-6 if log else 1e-9)


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_float_rows_of_every_length_and_place(shape: tuple[int, ...], axes: Axes) -> None:
    x = np.random.default_rng(1).normal(0, 5, shape).astype(np.float32)
    for beta, log in product((1.0, 0.3), (False, True)):
        a, b = in_float32(x, tuple(np.atleast_1d(axes).tolist()), beta, log)
        shifted = (x - x.max(axes, keepdims=True)).astype(np.float64) * beta
        whole = np.exp(shifted).sum(axes, keepdims=True)
        assert np.array_equal(a, b)
        assert np.allclose(b, shifted - np.log(whole) if log else np.exp(shifted) / whole, 1e-5, 1e-6 if log else 1e-9)


def in_float32(x: Array, axes: tuple[int, ...], beta: float = 1.0, log: bool = False) -> list[Array]:
    """What both executors make of real numbers."""
    attrs = {"axes": axes, "log": log, "beta": beta}
    program, feeds = step_program("softmax", [(Tensor("x", x.shape, "float32"), x)], (x.shape, None), attrs)
    (layer,) = program.layers
    program = replace(program, layers=(replace(layer, steps=(replace(layer.steps[0], integer=False),)),))
    assert all(s.step is None for s in assemble(program).segments)
    return [execute(program, feeds, engine=e).tensors["y"] for e in ENGINES]


def native_avx512() -> bool:
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512f"))
