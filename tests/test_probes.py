"""Probes where random data proves nothing: accumulators beside rounding boundaries, all operand pairs, all table entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.quant import Array, QuantParams
from hwsim.steps.execute import execute
from tests.judges import MICROSOFT, OneNode
from tests.steps import ENGINES, conv_attrs, quant, step_program, stored

SCALES = [
    (0.02, 0.03, 0.05),
    (0.1, 0.1, 0.1),
    (0.5, 0.25, 0.125),
    (0.007, 0.9, 0.31),
    (1.0, 1.0, 2.0),
    (0.013, 0.0131, 0.0129),
    (3e-3, 1e-3, 2e-2),
    (0.25, 0.25, 1.0),
]


def types(fmt: str) -> list[int]:
    """Zero points worth a probe: the ends, the middle and an odd number."""
    return [0, 128, 255, 77] if fmt == "uint8" else [0, -128, 127, 3]


def boundary_biases(real: Array, zero: int, rng: np.random.Generator) -> Array:
    """Biases that put the accumulator just below, on and above a rounding boundary (n + 1/2) / real, out to 31 bits."""
    steps = rng.integers(-140, 140, (64, len(real)))
    near = np.rint((steps + 0.5) / real).astype(np.int64) + rng.integers(-2, 3, steps.shape)
    return np.clip(near, -(2**31) + 70000, 2**31 - 70000)


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize("engine", ENGINES)
def test_conv_accumulators_beside_boundaries(fmt: str, engine: str) -> None:
    rng = np.random.default_rng(3)
    compared = 0
    for exponent in range(2, 24, 3):
        channels = 48
        w_scale = (2.0 ** -rng.uniform(1, 12, channels)).astype(np.float32)
        x_scale, zero = np.float32(2.0 ** -rng.uniform(0, 3)), types(fmt)[exponent % 4]
        y_scale = np.float32(x_scale * w_scale.mean() * 2.0**exponent)
        real = (x_scale * w_scale).astype(np.float32) / y_scale
        x = rng.integers(0, 2, (1, 1, 8, 8)).astype(fmt)
        w = rng.integers(-1, 2, (channels, 1, 1, 1)).astype(np.int8)
        for bias in boundary_biases(real.astype(np.float64), zero, rng)[:16]:
            xq, wq, yq = quant(fmt, x_scale), quant("int8", w_scale, 0, 0), quant(fmt, y_scale, zero)
            b = bias.astype(np.int32)
            node = OneNode("QLinearConv", kernel_shape=[1, 1]).feed(x).quant(xq).constant(w).quant(wq).quant(yq).constant(b)
            bias_tensor = stored("b", b, quant("int32", (x_scale * w_scale).astype(np.float32), 0, 0), constant=True)
            program, feeds = step_program(
                "conv",
                [(stored("x", x, xq), x), (stored("w", w, wq, constant=True), None), (bias_tensor, None)],
                ((1, channels, 8, 8), yq),
                conv_attrs((1, 1)),
            )
            assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], node.run())
            compared += channels * 64
    assert compared > 300_000


def pairs(fmt: str) -> tuple[Array, Array]:
    low = 0 if fmt == "uint8" else -128
    a, b = np.meshgrid(np.arange(low, low + 256), np.arange(low, low + 256), indexing="ij")
    return a.astype(fmt), b.astype(fmt)


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize("function", ["add", "mul"])
def test_all_operand_pairs(function: str, fmt: str) -> None:
    a, b = pairs(fmt)
    kind = {"add": "QLinearAdd", "mul": "QLinearMul"}[function]
    for i, (sa, sb, sy) in enumerate(SCALES):
        za, zb, zy = types(fmt)[i % 4], types(fmt)[(i + 1) % 4], types(fmt)[(i + 2) % 4]
        qa, qb, qy = quant(fmt, np.float32(sa), za), quant(fmt, np.float32(sb), zb), quant(fmt, np.float32(sy), zy)
        theirs = OneNode(kind, MICROSOFT).feed(a).quant(qa).feed(b).quant(qb).quant(qy).run()
        program, feeds = step_program("binary", [(stored("a", a, qa), a), (stored("b", b, qb), b)], (a.shape, qy), {"function": function})
        for engine in ENGINES:
            assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], theirs), (engine, sa, sb, sy)


def every_number(fmt: str) -> Array:
    return np.arange(0 if fmt == "uint8" else -128, 256 if fmt == "uint8" else 128).astype(fmt).reshape(1, 256)


def check(op: str, attrs: dict[str, Any], x: Array, qx: QuantParams, shape: tuple[int, ...], qy: QuantParams, theirs: Array) -> None:
    program, feeds = step_program(op, [(stored("x", x, qx), x)], (shape, qy), attrs)
    for engine in ENGINES:
        assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], theirs), engine


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("function", "kind", "params"),
    [
        ("sigmoid", "QLinearSigmoid", {}),
        ("leaky_relu", "QLinearLeakyRelu", {"alpha": 0.1}),
        ("leaky_relu", "QLinearLeakyRelu", {"alpha": -0.3}),
    ],
)
def test_all_table_entries(function: str, kind: str, params: dict[str, float], fmt: str) -> None:
    x = every_number(fmt)
    for i, (sx, sy, _) in enumerate(SCALES):
        qx, qy = quant(fmt, np.float32(sx), types(fmt)[i % 4]), quant(fmt, np.float32(sy), types(fmt)[(i + 3) % 4])
        theirs = OneNode(kind, MICROSOFT, **params).feed(x).quant(qx).quant(qy).run()
        check("unary", {"function": function, "params": params}, x, qx, x.shape, qy, theirs)


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
def test_average_pool_ties(fmt: str) -> None:
    rng = np.random.default_rng(5)
    low = 0 if fmt == "uint8" else -128
    for i, (sx, _, sy) in enumerate(SCALES):
        qx, qy = quant(fmt, np.float32(sx), types(fmt)[i % 4]), quant(fmt, np.float32(sy), types(fmt)[(i + 1) % 4])
        x = rng.integers(low, low + 256, (2, 16, 12, 12)).astype(fmt)
        window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}
        theirs = OneNode("QLinearAveragePool", MICROSOFT, count_include_pad=i % 2, **window).feed(x).quant(qx).quant(qy).run()
        attrs = {**conv_attrs((2, 2), (2, 2), (1, 0), (1, 0)), "count_pad": bool(i % 2), "counted_after": (1, 0), "global": False}
        check("average_pool", attrs, x, qx, theirs.shape, qy, theirs)
        whole = OneNode("QLinearGlobalAveragePool", MICROSOFT, channels_last=0).feed(x).quant(qx).quant(qy).run()
        attrs = {**conv_attrs((12, 12)), "count_pad": False, "counted_after": (0, 0), "global": True}
        check("average_pool", attrs, x, qx, whole.shape, qy, whole)


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
def test_softmax_rows(fmt: str) -> None:
    rng = np.random.default_rng(7)
    low = 0 if fmt == "uint8" else -128
    for n in (1, 2, 3, 10, 100, 1000):
        for sx in (0.001, 0.02, 0.1, 0.7):
            for sy, zy in ((1 / 256, low), (1 / 255, low), (1 / 1000, low + 3), (1e-9, low + 255)):
                x = rng.integers(low, low + 256, (12, n)).astype(fmt)
                qx, qy = quant(fmt, np.float32(sx), types(fmt)[1]), quant(fmt, np.float32(sy), zy)
                theirs = OneNode("QLinearSoftmax", MICROSOFT, axis=-1, opset=13).feed(x).quant(qx).quant(qy).run()
                check("softmax", {"axes": (1,), "log": False}, x, qx, x.shape, qy, theirs)


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
def test_quantize_of_ties_and_extremes(fmt: str) -> None:
    for sy, _, _ in SCALES:
        q = quant(fmt, np.float32(sy), types(fmt)[1])
        ties = (np.arange(-300, 300) + 0.5) * np.float32(sy)
        x = np.concatenate([ties, [0.0, -0.0, 1e30, -1e30, np.inf, -np.inf, 1e-40]]).astype(np.float32)[None]
        theirs = OneNode("QuantizeLinear").feed(x).quant(q).run()
        from hwsim.graph import Tensor

        program, feeds = step_program(
            "quantize", [(Tensor("x", x.shape, "float32"), x)], (x.shape, q), {"format": fmt, "axis": 1, "block": 0}
        )
        for engine in ENGINES:
            assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], theirs), engine
