"""Convolutions and matrix products of float32 numbers: the executors bit for bit, the exact sum to one rounding, ONNX Runtime."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
import pytest

from hwsim.ops._real_sums import real_matmul
from hwsim.quant import Array
from tests.judges import OneNode
from tests.steps import conv_attrs
from tests.test_reals import both, real


def normal(seed: int, *shape: int) -> Array:
    """Of all sizes, some zero."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(0, 1, shape) * 10.0 ** rng.integers(-3, 3, shape)).astype(np.float32)
    return np.where(rng.random(shape) < 0.2, np.float32(0), x)


def cancelling(seed: int, m: int, k: int, n: int) -> tuple[Array, Array]:
    """Matrices whose products nearly, or just, cancel."""
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(0, 1, s).astype(np.float32) for s in ((m, k // 2), (k // 2, n)))
    last = rng.choice([0, 1e-20, 1e-8], (m, 1)).astype(np.float32)
    return np.concatenate([a, -a[:, ::-1], last], 1), np.concatenate([b, b[::-1], np.ones((1, n), np.float32)])


@pytest.mark.parametrize("cancels", [False, True])
def test_sums_in_float64_one_after_the_other(cancels: bool) -> None:
    """BLAS's sums, put right where its order matters, against plain additions; and against the exact ones, but for halfway cases."""
    a, b = cancelling(0, 23, 40, 17) if cancels else (normal(1, 23, 41), normal(2, 41, 17))
    found, off = real_matmul(a, b), 0
    for i, j in np.ndindex(found.shape):
        products = [float(u) * float(v) for u, v in zip(a[i], b[:, j], strict=True)]
        total = 0.0
        for p in products:
            total += p
        assert found[i, j] == np.float32(total)
        off += found[i, j] != np.float32(fsum(products))
    assert cancels or off == 0


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 3, 9, 8), (5, 3, 3, 3), conv_attrs((3, 3), (2, 1), (1, 1), (1, 2))),
    ((2, 16, 7, 7), (40, 16, 1, 1), conv_attrs((1, 1))),
    ((1, 6, 11, 10), (8, 3, 3, 2), conv_attrs((3, 2), (1, 2), (2, 0), (0, 1), (2, 3), 2)),
    ((2, 18, 9, 7), (18, 1, 3, 3), conv_attrs((3, 3), (2, 2), (1, 1), (1, 1), group=18)),
    ((1, 70, 5, 6), (70, 1, 3, 2), conv_attrs((3, 2), (1, 1), (0, 0), (0, 0), (1, 2), 70)),
    ((1, 5, 6, 6), (15, 1, 2, 3), conv_attrs((2, 3), (1, 1), (1, 0), (0, 2), group=5)),
    ((1, 4, 8, 8), (8, 1, 1, 1), conv_attrs((1, 1), group=4)),
    ((1, 130, 1, 1), (77, 130, 1, 1), conv_attrs((1, 1))),
    ((2, 4, 19), (6, 4, 5), conv_attrs((5,), (2,), (3,), (2,), (2,))),
]


def pads(attrs: dict[str, Any]) -> dict[str, Any]:
    """The window as ONNX writes it."""
    named = {"kernel_shape": attrs["kernel"], "strides": attrs["strides"], "dilations": attrs["dilations"], "group": attrs["group"]}
    return {**named, "pads": [*attrs["before"], *attrs["after"]]}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("x_shape", "w_shape", "attrs"), CONVOLUTIONS)
def test_convolutions(x_shape: tuple[int, ...], w_shape: tuple[int, ...], attrs: dict[str, Any], bias: bool) -> None:
    """Padded, strided, dilated, in groups, of each channel alone or of several outputs of each."""
    x, w = normal(3, *x_shape), normal(4, *w_shape)
    given = [normal(5, w_shape[0])] if bias else []
    judge = OneNode("Conv", **pads(attrs)).feed(x).constant(w)
    for g in given:
        judge.constant(g)
    wanted = judge.run()
    inputs = [real("x", x), real("w", w, True), *(real("b", g, True) for g in given)]
    close(both("conv", inputs, attrs, wanted.shape), wanted)


def close(found: Array, wanted: Array) -> None:
    """To the rounding of a float32 sum, of numbers as large as the largest."""
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("group", [1, 2, 6])
def test_transposed_convolutions(group: int) -> None:
    x, w = normal(6, 2, 6, 5, 4), normal(7, 6, 3, 3, 2)
    judge = OneNode("ConvTranspose", strides=[2, 3], pads=[1, 0, 0, 1], dilations=[1, 2], group=group)
    wanted = judge.feed(x).constant(w).run()
    attrs = {"group": group, "strides": (2, 3), "dilations": (1, 2), "crop": (1, 0), "size": wanted.shape[2:]}
    close(both("conv_transpose", [real("x", x), real("w", w, True)], attrs, wanted.shape), wanted)


GEMM = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("first", [(1, 40), (9, 40), (3, 1, 6, 40), (40,)])
@pytest.mark.parametrize("second", [(40, 1), (40, 70), (2, 40, 5), (40,)])
def test_products(first: tuple[int, ...], second: tuple[int, ...], known: bool) -> None:
    """Of vectors (two of which make one number), matrices and stacks of them, the right one constant or computed."""
    a, b = normal(8, *first), normal(9, *second)
    wanted = OneNode("MatMul").feed(a).feed(b).run()
    close(both("matmul", [real("a", a), real("b", b, known)], GEMM, wanted.shape), wanted)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("shift", [(), (1,), (13,), (1, 13), (7, 1), (7, 13)])
@pytest.mark.parametrize(("alpha", "trans_a", "trans_b"), [(1, False, False), (0.7, False, True), (-1, True, False)])
def test_products_with_more_added(shift: tuple[int, ...], alpha: float, trans_a: bool, trans_b: bool, known: bool) -> None:
    a, b, c = normal(10, *((21, 7) if trans_a else (7, 21))), normal(11, *((13, 21) if trans_b else (21, 13))), normal(12, *shift)
    for beta in (1.0, 0.3) if known else (1.0,):
        attrs = {"trans_a": trans_a, "trans_b": trans_b, "alpha": float(alpha), "beta": beta}
        judge = OneNode("Gemm", transA=int(trans_a), transB=int(trans_b), alpha=float(alpha), beta=beta)
        wanted = judge.feed(a).feed(b).feed(c).run()
        close(both("matmul", [real("a", a), real("b", b, True), real("c", c, known)], attrs, wanted.shape), wanted)
