"""Every width of weights and activations, every accumulator: compiled kernels against NumPy and plain Python, worst cases included."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim import formats
from hwsim.kernels import host
from hwsim.ops import _route_tiles
from hwsim.ops._lowering import Desk
from hwsim.program import Accumulator
from hwsim.quant import Array
from hwsim.steps.execute import execute
from tests.steps import ENGINES, conv_attrs, quant, step_program, stored
from tests.test_executors import naive_conv

WIDTHS = ["bipolar", "ternary", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 17) if kind == "uint" or bits > 1)]
NARROW = [f for f in WIDTHS if formats.get(f).bits <= 8]
PLAIN = Accumulator()
DEPTHS = st.sampled_from([1, 3, 4, 5, 15, 16, 31, 32, 33, 64, 65, 100, 130])


def numbers(rng: np.random.Generator, fmt: str, shape: tuple[int, ...], worst: bool) -> Array:
    """Stored numbers of a format: anywhere in it, or only its ends."""
    f = formats.get(fmt)
    if fmt == "bipolar" or worst:
        return rng.choice(np.array([f.low, f.high]), shape).astype(f.dtype)
    return rng.integers(int(f.low), int(f.high) + 1, shape).astype(f.dtype)


def run_both(
    op: str, x: Array, w: Array, forms: tuple[str, str], zeros: tuple[int, int], a: Accumulator, attrs: Any, out: tuple[int, ...]
) -> None:
    """The two executors agree on every sum and on the count of overflowed ones."""
    bias = np.random.default_rng(0).integers(-900, 900, w.shape[0] if op == "conv" else w.shape[1]).astype(np.int64)
    inputs: list[tuple[Any, Any]] = [
        (stored("x", x, quant(forms[0], np.float32(1), zeros[0])), x),
        (stored("w", w, quant(forms[1], np.float32(1), zeros[1]), constant=True), None),
        (stored("b", bias, quant("int32", np.float32(1)), constant=True), None),
    ]
    program, feeds = step_program(op, inputs, (out, None), attrs, accumulator=a)
    want, got = (execute(program, feeds, engine=e) for e in ENGINES)
    np.testing.assert_array_equal(got.tensors["y"], want.tensors["y"], f"{forms} {a}")
    assert got.overflowed == want.overflowed, (forms, a)


products = st.fixed_dictionaries(
    {
        "x": st.sampled_from(WIDTHS),
        "w": st.sampled_from(WIDTHS),
        "worst": st.booleans(),
        "rows": st.sampled_from([1, 2, 7, 14]),
        "depth": DEPTHS,
    }
)


@settings(max_examples=40)
@given(products, st.integers(1, 70), st.booleans())
def test_matrix_products_of_every_width(p: dict[str, Any], outputs: int, zero: bool) -> None:
    rng = np.random.default_rng(outputs)
    x, w = numbers(rng, p["x"], (p["rows"], p["depth"]), p["worst"]), numbers(rng, p["w"], (p["depth"], outputs), p["worst"])
    xz = int(formats.get(p["x"]).high) // 2 if zero else 0
    attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    run_both("matmul", x, w, (p["x"], p["w"]), (xz, 0), Accumulator(64), attrs, (p["rows"], outputs))


@settings(max_examples=40)
@given(
    st.sampled_from(["uint8", "int8", "uint4"]),
    st.sampled_from(["int4", "int2", "ternary", "int3"]),
    st.booleans(),
    DEPTHS,
    st.integers(1, 150),
)
def test_packed_weights_times_one_row(xf: str, wf: str, worst: bool, depth: int, outputs: int) -> None:
    """Fields of a byte multiplied where they lie: also behind the last channel, at both ends of the range and around a zero point."""
    rng = np.random.default_rng(depth)
    x, w = numbers(rng, xf, (1, depth), worst), numbers(rng, wf, (depth, outputs), worst)
    attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    for zero in (0, 5):
        run_both("matmul", x, w, (xf, wf), (zero, 0), Accumulator(64), attrs, (1, outputs))


convolutions = st.fixed_dictionaries(
    {
        "x": st.sampled_from(WIDTHS),
        "w": st.sampled_from(WIDTHS),
        "worst": st.booleans(),
        "channels": st.sampled_from([1, 2, 3, 16, 32, 48, 64, 70]),
        "outputs": st.sampled_from([1, 6, 17, 40]),
        "kernel": st.sampled_from([(1, 1), (3, 3), (2, 3)]),
        "stride": st.sampled_from([1, 2]),
        "pad": st.sampled_from([0, 1]),
        "dilation": st.sampled_from([1, 2]),
        "group": st.sampled_from([1, 2, "depthwise"]),
    }
)


@settings(max_examples=40)
@given(convolutions)
def test_convolutions_of_every_width(c: dict[str, Any]) -> None:
    convolve(c, Accumulator(64), (0, 0))


asymmetric = st.sampled_from([("uint8", 0), ("uint8", 200), ("uint8", 255), ("int8", -128), ("int8", 90)])


@settings(max_examples=60)
@given(convolutions, asymmetric, st.sampled_from([0, 200]))
def test_weights_with_their_zero_points_in_them(c: dict[str, Any], w: tuple[str, int], zero: int) -> None:
    """Numbers that need nine bits without them."""
    convolve(c | {"x": "uint8", "w": w[0]}, Accumulator(), (zero, w[1]))


@settings(max_examples=60)
@given(
    convolutions,
    st.sampled_from(["int4", "int2", "ternary", "int3"]),
    st.sampled_from([17, 70, 150]),
    st.sampled_from([1, 1000, 300_000]),
    st.booleans(),
)
def test_packed_weights_made_bytes_once_for_a_block(c: dict[str, Any], w: str, outputs: int, cached: int, zero: bool) -> None:
    """Blocks of one panel, of some and of all; panels that end within a vector of fields."""
    with patch.object(host, "amx", return_value=False), patch.object(_route_tiles, "CACHED", cached):
        convolve(c | {"x": "uint8", "w": w, "outputs": outputs, "stride": 1}, PLAIN, (7 * zero, 0))


def convolve(c: dict[str, Any], a: Accumulator, zeros: tuple[int, int]) -> None:
    channels, kernel, s, d, p = c["channels"], c["kernel"], c["stride"], c["dilation"], c["pad"]
    group = channels if c["group"] == "depthwise" else c["group"] if channels % c["group"] == 0 else 1
    outputs = -(-c["outputs"] // group) * group
    rng = np.random.default_rng(channels + outputs)
    x = numbers(rng, c["x"], (2, channels, 7, 6), c["worst"])
    w = numbers(rng, c["w"], (outputs, channels // group, *kernel), c["worst"])
    size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k in zip((7, 6), kernel, strict=True))
    attrs = conv_attrs(kernel, (s, s), (p, p), (p, p), (d, d), group)
    run_both("conv", x, w, (c["x"], c["w"]), zeros, a, attrs, (2, outputs, *size))


accumulators = st.builds(
    Accumulator,
    bits=st.sampled_from([32, 20, 16, 8, 12, 14, 17, 19, 22, 24, 26, 30, 31]),
    overflow=st.sampled_from(["wrap", "saturate"]),
    every=st.sampled_from(["mac", "tile", "pair"]),
    tile=st.sampled_from([2, 4, 16, 20, 32, 64, 128]),
    zero_points=st.sampled_from(["folded", "subtracted"]),
)
bytes_ = st.fixed_dictionaries(
    {
        "x": st.sampled_from(["uint8", "int8", "uint4", "int5", "bipolar"]),
        "w": st.sampled_from(["int8", "uint7", "int4", "ternary", "uint8"]),
        "worst": st.booleans(),
        "rows": st.sampled_from([1, 5, 13]),
        "depth": DEPTHS,
    }
)


@settings(max_examples=25)
@given(bytes_, accumulators, st.integers(1, 70), st.sampled_from([(0, 0), (3, 0), (1, 2)]))
def test_every_accumulator_in_matrix_products(p: dict[str, Any], a: Accumulator, outputs: int, zeros: tuple[int, int]) -> None:
    rng = np.random.default_rng(outputs)
    x, w = numbers(rng, p["x"], (p["rows"], p["depth"]), p["worst"]), numbers(rng, p["w"], (p["depth"], outputs), p["worst"])
    attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    run_both("matmul", x, w, (p["x"], p["w"]), zeros, a, attrs, (p["rows"], outputs))


@settings(max_examples=30)
@given(convolutions, accumulators, st.sampled_from(["uint8", "int8", "int3"]), st.sampled_from([0, 5]))
def test_every_accumulator_in_convolutions(c: dict[str, Any], a: Accumulator, fmt: str, zero: int) -> None:
    convolve({**c, "x": fmt, "w": "int8", "channels": min(c["channels"], 32)}, a, (zero % (1 << formats.get(fmt).bits - 1), 0))


LONG = [
    *((Accumulator(bits, "saturate"), w) for bits in (16, 13) for w in ("int8", "int3")),
    (Accumulator(18, "saturate"), "int8"),
    *((Accumulator(18, "saturate", "tile", tile), "int8") for tile in (18, 128, 700)),
    (Accumulator(every="pair"), "int8"),
]


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize("share", [0, 0.5, 0.97])
@pytest.mark.parametrize(("a", "wf"), LONG, ids=[f"{a.bits}-{a.every}{a.tile}-{w}" for a, w in LONG])
def test_saturation_in_long_sums(a: Accumulator, wf: str, share: float, fmt: str) -> None:
    """Zeros are left out, and tiles whose sums are all cut go another way: neither changes a sum or the count."""
    rng = np.random.default_rng(0)
    x, w = numbers(rng, fmt, (9, 333), False), numbers(rng, wf, (333, 130), False)
    attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    run_both("matmul", x * (rng.random(x.shape) >= share), w, (fmt, wf), (0, 0), a, attrs, (9, 130))
    channels = 68 if a.every == "tile" else 67
    x, w = numbers(rng, fmt, (2, channels, 5, 4), False), numbers(rng, wf, (40, channels, 3, 3), False)
    x *= rng.random(x.shape) >= share
    run_both("conv", x, w, (fmt, wf), (0, 0), a, conv_attrs((3, 3), (1, 1), (1, 1), (1, 1)), (2, 40, 5, 4))


@settings(max_examples=30)
@given(accumulators, st.sampled_from([16, 33, 70]), st.booleans())
def test_accumulators_in_plain_python(a: Accumulator, channels: int, signed: bool) -> None:
    """One pixel of worst-case data, product by product."""
    rng, fmt = np.random.default_rng(channels), "int8" if signed else "uint8"
    x, w = numbers(rng, fmt, (1, channels, 1, 1), True), numbers(rng, "int8", (5, channels, 1, 1), True)
    bias = rng.integers(-99, 99, 5)
    want, overflowed = naive_conv(x.astype(int), w.astype(int), bias, (0, 0), a, 1, 0)
    inputs: list[tuple[Any, Any]] = [
        (stored("x", x, quant(fmt, np.float32(1))), x),
        (stored("w", w, quant("int8", np.float32(1)), constant=True), None),
        (stored("b", bias, quant("int32", np.float32(1)), constant=True), None),
    ]
    program, feeds = step_program("conv", inputs, ((1, 5, 1, 1), None), conv_attrs((1, 1)), accumulator=a)
    for engine in ENGINES:
        found = execute(program, feeds, engine=engine)
        np.testing.assert_array_equal(found.tensors["y"].ravel(), want.ravel().astype(np.float32), engine)
        assert found.overflowed.get("step", 0) == overflowed, engine


ROUTES = [
    ("bipolar", "bipolar", PLAIN, "binary"),
    ("ternary", "bipolar", PLAIN, "ternary"),
    ("uint8", "int4", PLAIN, "u8s4"),
    ("uint8", "int4", PLAIN, "None, 4)"),  # made bytes once for all rows
    ("int8", "ternary", PLAIN, "u8s2"),
    ("int8", "int4", PLAIN, "u8s4_alone"),
    ("uint8", "int2", PLAIN, "u8s2_alone"),
    ("uint8", "int8", PLAIN, "u8s8"),
    ("uint8", "int8", Accumulator(20), "Wrapped"),
    ("uint8", "int8", Accumulator(18, "saturate", "tile", 16), "EachTile"),
    ("uint8", "int8", Accumulator(20, "saturate", "mac"), "EachMac"),
    ("uint8", "int8", Accumulator(16, "saturate", "mac"), "EachWord"),
    ("uint8", "int2", Accumulator(16, "saturate", "mac"), "EachMac"),
    ("uint8", "int8", Accumulator(every="pair"), "EachPair"),
    ("int8", "int7", Accumulator(every="pair"), "Wrapped"),
    ("uint8", "int8", Accumulator(every="pair"), "Late"),
    ("int8", "int8", Accumulator(20, "saturate", "mac"), "Late"),
    ("uint8", "uint8", Accumulator(20, "saturate", "mac"), "AtEnd"),
]


@pytest.mark.skipif(not host.has("avx512vnni", "avx512vl"), reason="without VNNI 8-bit weights are multiplied as words")
@pytest.mark.parametrize(("x", "w", "a", "kernel"), ROUTES)
def test_each_width_takes_its_own_kernel(x: str, w: str, a: Accumulator, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, call = list[str](), Desk.call
    monkeypatch.setattr(Desk, "call", lambda desk, k, args: (taken.append(k.name), call(desk, k, args))[1])
    rng, attrs = np.random.default_rng(0), {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    monkeypatch.setattr(host, "amx", lambda: False)
    rows = 1 if kernel.endswith("_alone") else 40 if kernel.startswith("None") else 3
    given_x, given_w, zeros = numbers(rng, x, (rows, 256), True), numbers(rng, w, (256, 96), True), (0, kernel == "Late")
    run_both("matmul", given_x, given_w, (x, w), zeros, a, attrs, (rows, 96))
    assert any(kernel in name for name in taken), taken
