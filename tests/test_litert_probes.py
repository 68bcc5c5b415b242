"""Numbers that random data does not reach: accumulators beside rounding boundaries and beyond 32 bits, all pairs of operands, ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.quant import Array
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from tests.litert import Judged
from tests.tflite_models import Model, Rng, quant, stored

CHANNELS = 512
PRODUCTS = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected"}
WIDTHS = (("uint8", "uint8", False), ("int8", "int8", False), ("int8", "int8", True))


def product(
    kind: str, x: str, w: str, scales: tuple[Array, Array, Array], zeros: tuple[int, int], bias: Array, bias_format: str, weights: Array
) -> Model:
    """One output per bias from inputs of one position; `weights` (outputs, inputs), for a depthwise one (outputs, 1)."""
    m, n, depth = Model(), len(bias), weights.shape[1]
    rank2, by_channel = kind == "FULLY_CONNECTED", kind == "DEPTHWISE_CONV_2D"
    inputs = n if by_channel else depth
    a = m.input([1, inputs] if rank2 else [1, 1, 1, inputs], x, quant(scales[0], zeros[0]))
    shape = [n, depth] if rank2 else [1, 1, 1, n] if by_channel else [n, 1, 1, depth]
    held = m.tensor(shape, w, quant(scales[1], 7 if w == "uint8" else 0, 3 if by_channel else 0), weights.reshape(shape))
    b = m.tensor([n], bias_format, quant((scales[0] * scales[1]).astype(np.float32)), bias)
    y = m.tensor([1, n] if rank2 else [1, 1, 1, n], x, quant(scales[2], zeros[1]))
    window = {} if rank2 else {"padding": 1, "strideH": 1, "strideW": 1} | ({"depthMultiplier": 1} if by_channel else {})
    return m.operator(kind, [a, held, b], [y], PRODUCTS[kind], 5, **window)


def beside_boundaries(kind: str, x: str, w: str, per_channel: bool, rng: Rng) -> tuple[Judged, dict[str, Array]]:
    """The input is its zero point, so that the accumulator is the bias: 24 to 31 bits, within 6 of a number that rounds the other way."""
    x_scale = np.float32(10 ** rng.uniform(-3, -1))
    w_scale = (10 ** rng.uniform(-3, -1, CHANNELS if per_channel else 1)).astype(np.float32)
    y_scale = np.float32(float(x_scale) * float(w_scale.mean()) * 2.0 ** rng.integers(17, 24) * rng.uniform(0.6, 1.3))
    ends = np.iinfo(x)
    zero = int(rng.integers(ends.min, ends.max + 1))
    real = float(x_scale) * w_scale.astype(np.float64) / float(y_scale)
    boundary = (rng.integers(0, 255, CHANNELS) + 0.5) / real
    bias = np.clip(np.rint(boundary) + rng.integers(-6, 7, CHANNELS), -(2**31) + 1, 2**31 - 1)
    ones = np.ones((CHANNELS, 1), np.int64)
    judged = Judged(product(kind, x, w, (x_scale, w_scale, y_scale), (zero, int(ends.min)), bias, "int32", ones).bytes(), kind)
    shape = judged.network.tensors["t0"].shape
    return judged, {"t0": np.full(shape, zero, x)}


def wrong_in(judged: Judged, feeds: dict[str, Array], engine: str = "numba", arithmetic: str = "litert_ref") -> int:
    """How many numbers of the output differ from LiteRT's."""
    (name,) = judged.network.outputs
    graph = replace(judged.graph, source=replace(judged.graph.source, arithmetic=arithmetic))
    found = execute(as_written(graph), feeds, engine=engine).tensors[name]
    return int((found != judged.reference(feeds, [name])[name]).sum())


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize(("x", "w", "per_channel"), WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_beside_rounding_boundaries(kind: str, x: str, w: str, per_channel: bool, engine: str) -> None:
    cases = [beside_boundaries(kind, x, w, per_channel, np.random.default_rng(seed)) for seed in range(12)]
    assert [wrong_in(*case, engine) for case in cases] == [0] * len(cases)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_probes_tell_formulas_apart(kind: str) -> None:
    """Each plausible other rounding is wrong in some of the same numbers: what proves that the test above can fail."""
    cases = [beside_boundaries(kind, x, w, p, np.random.default_rng(seed)) for x, w, p in WIDTHS for seed in range(12)]
    for other in (
        "single_rounding",
        "gemmlowp_float32",
        "onnxruntime",
        "xnnpack",
        "gemmlowp" if kind == "FULLY_CONNECTED" else "float64_half_away",
    ):
        assert sum(wrong_in(*case, arithmetic=other) for case in cases) > 20, other


@pytest.mark.parametrize("large", [False, True], ids=["small multiplier", "multiplier up to 64"])
@pytest.mark.parametrize(("x", "w", "bias_format"), [("uint8", "uint8", "int32"), ("int8", "int8", "int32"), ("int16", "int8", "int64")])
@pytest.mark.parametrize("kind", PRODUCTS)
def test_worst_accumulators(kind: str, x: str, w: str, bias_format: str, large: bool) -> None:
    """Biases over the whole of their type (sums wrap), and left shifts that overflow."""
    for seed in range(8):
        rng = np.random.default_rng([seed, large])
        x_scale, w_scale = (np.float32(10 ** rng.uniform(-3, -1)) for _ in range(2))
        y_scale = np.float32(float(x_scale) * float(w_scale) * (2.0 ** rng.uniform(-6, 3) if large else 2.0 ** rng.uniform(18, 24)))
        limit = 2**31 - 1 if bias_format == "int32" else 2**45
        ends = rng.choice([-limit, limit, limit - 1, 0], 64)
        bias = np.where(rng.random(64) < 0.5, rng.integers(-limit, limit, 64), ends)
        zero = 0 if x == "int16" else int(rng.integers(np.iinfo(x).min, np.iinfo(x).max + 1))
        weights = stored(rng, (64, 1 if kind == "DEPTHWISE_CONV_2D" else 16), w)
        model = product(kind, x, w, (x_scale, np.atleast_1d(w_scale), y_scale), (zero, zero), bias, bias_format, weights)
        judged = Judged(model.bytes(), kind)
        given = rng.choice([np.iinfo(x).min, np.iinfo(x).max], judged.network.tensors["t0"].shape).astype(x)
        for engine in ("numba", "reference"):
            assert wrong_in(judged, {"t0": given}, engine) == 0, seed


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_all_pairs_of_operands(name: str, fmt: str) -> None:
    """65,536 pairs, at scales drawn at random, equal, and powers of two."""
    ends = np.iinfo(fmt)
    every = np.arange(ends.min, ends.max + 1).astype(fmt)
    feeds = {"t0": every.reshape(1, 256, 1), "t1": every.reshape(1, 1, 256)}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        s = 10 ** rng.uniform(-2, 0, 2) if seed < 2 else 2.0 ** rng.integers(-6, 0, 2) if seed == 2 else np.full(2, 0.1)
        y_scale = s[0] * s[1] * 60 if name == "MUL" else max(s) * 1.3
        m, zeros = Model(), rng.integers(ends.min, ends.max + 1, 3)
        a, b = m.input([1, 256, 1], fmt, quant(s[0], zeros[0])), m.input([1, 1, 256], fmt, quant(s[1], zeros[1]))
        m.operator(name, [a, b], [m.tensor([1, 256, 256], fmt, quant(y_scale, zeros[2]))], name.title(), 2)
        judged = Judged(m.bytes(), name)
        assert [wrong_in(judged, feeds, engine) for engine in ("numba", "reference")] == [0, 0], seed


@pytest.mark.parametrize("fmt", ["uint8", "int8", "int16"])
def test_real_numbers_at_ties_and_out_of_range(fmt: str) -> None:
    """QUANTIZE: halves go away from zero; what does not fit into int32 becomes -2^31 before the zero point is added."""
    far = [1e12, -1e12, np.inf, -np.inf, np.nan, 3e9, -3e9, 2.1e9, 1e30, -1e30]
    for step, zero in ((1.0, 0), (0.1, 9), (0.25, 0 if fmt == "int16" else -5 if fmt == "int8" else 200)):
        zero = 0 if fmt == "int16" else zero
        values = np.array([*((np.arange(-300, 300) + 0.5) * step), *far], np.float32)
        m = Model()
        m.operator("QUANTIZE", [m.input([1, len(values)], "float32")], [m.tensor([1, len(values)], fmt, quant(step, zero))], "Quantize", 2)
        judged = Judged(m.bytes(), fmt)
        assert [wrong_in(judged, {"t0": values[None]}, engine) for engine in ("numba", "reference")] == [0, 0]


@pytest.mark.parametrize("fmt", ["uint8", "int8", "int16"])
def test_softmax_of_extreme_rows(fmt: str) -> None:
    """Ties of the maximum, one number alone, rows in which all others vanish, and sums that need every bit."""
    ends = np.iinfo(fmt)
    rows = np.full((6, 64), ends.min, fmt)
    rows[1] = ends.max
    rows[2, ::2] = ends.max
    rows[3, 5] = ends.max
    rows[4] = np.linspace(ends.min, ends.max, 64).astype(fmt)
    rows[5, 1:] = ends.max - 1
    grid = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128), "int16": (1 / 32768, 0)}[fmt]
    for s in (1e-4, 1e-3, 0.02, 0.3, 2.0):
        for columns in (1, 2, 64):
            m = Model()
            x = m.input([6, columns], fmt, quant(s, 0))
            judged = Judged(m.operator("SOFTMAX", [x], [m.tensor([6, columns], fmt, quant(*grid))], "Softmax", 2, beta=1.0).bytes(), fmt)
            assert [wrong_in(judged, {"t0": rows[:, :columns]}, engine) for engine in ("numba", "reference")] == [0, 0], (s, columns)
