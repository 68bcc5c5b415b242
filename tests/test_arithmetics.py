"""Every arithmetic against its meaning in fractions, and how often they differ from each other."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from hwsim.arithmetics import _rounding
from hwsim.errors import HwsimError
from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.finishing import WAY_ARGS, Way, finish
from hwsim.ops._lowering import DTYPES
from hwsim.quant import Array
from hwsim.shelf import load, names
from tests import naive

FLOAT = [2.8e-3, 3.7e-2, 1.2e-4, 0.5, 1.0, 0.0123456]
POWERS = [2.0**-4, 2.0**-7, 1.0, 2.0**-1, 2.0**2]


def _ascend(acc: int, real: Fraction) -> int:
    """float16 at every step; y_scale is 1 here, so its reciprocal is exact."""
    return naive.half_even(naive.to_float16(naive.to_float16(naive.to_float32(naive.to_float32(Fraction(acc)) * real))))


def _dyadic(acc: int, real: Fraction) -> int:
    """Products in float64, which are exact for the small accumulators here."""
    m, e = naive.tflite_multiplier(real)
    return naive.half_even(Fraction(float(acc * m)) * Fraction(2) ** (e - 31))


def _nvdla(acc: int, real: Fraction) -> int:
    e = naive._exponent(real) + 1
    return naive.half_away(acc * min(naive.half_even(real / Fraction(2) ** e * 2**15), 32767) * Fraction(2) ** (e - 15))


def _ne16(acc: int, real: Fraction) -> int:
    e = naive._exponent(real) + 1
    shift = min(8 - e, 31)
    return naive.half_up(acc * min(naive.half_even(real * Fraction(2) ** shift), 255) / Fraction(2) ** shift)


def _gemmlowp_half_up(acc: int, real: Fraction) -> int:
    m, e = naive.tflite_multiplier(real)
    return naive.half_up(Fraction(naive.srdhm(naive.wrap(acc << max(e, 0), 32), m), 2 ** max(-e, 0)))


MEANING: dict[str, Callable[[int, Fraction], int]] = {
    "onnxruntime": lambda a, r: naive.float_scale(naive.half_even, a, r),
    "fbgemm": lambda a, r: naive.float_scale(naive.half_even, a, r),
    "tensorrt": lambda a, r: naive.float_scale(naive.half_even, a, r),
    "qonnx": lambda a, r: naive.float_scale(naive.half_even, a, r),
    "ncnn": lambda a, r: naive.float_scale(naive.half_away, a, r),
    "ascend": _ascend,
    "gemmlowp": naive.gemmlowp,
    "gemmlowp_int64": naive.reduced_multiplier,
    "gemmlowp_float32": naive.gemmlowp,
    "gemmlowp_half_up": _gemmlowp_half_up,
    "cmsis_nn": naive.gemmlowp,
    "litert_ref": naive.gemmlowp,
    "float64_half_away": lambda a, r: naive.half_away(Fraction(float(a) * float(r))),
    "xnnpack": lambda a, r: naive.float_scale(naive.half_even, a, r),
    "single_rounding": naive.single_rounding,
    "dyadic": _dyadic,
    "nvdla_sdp": _nvdla,
    "ne16": _ne16,
    "shift_half_up": lambda a, r: naive.shift(naive.half_up, a, r),
    "shift_half_away": lambda a, r: naive.shift(naive.half_away, a, r),
    "shift_half_even_positive": lambda a, r: naive.shift(naive.half_even_positive, a, r),
    "shift_truncate": lambda a, r: naive.shift(naive.truncate, a, r),
}


def probes(real: float) -> Array:
    """Accumulators beside rounding boundaries, small ones, and far ones."""
    near = np.rint((np.arange(-140, 140) + 0.5) / real).astype(np.int64)
    spread = np.random.default_rng(1).integers(-(2**24), 2**24, 400)
    return np.concatenate([near - 1, near, near + 1, np.arange(-40, 40), spread])


def scales_of(name: str) -> list[float]:
    return POWERS if hasattr(load("arithmetics", name), "POWER_OF_TWO") else FLOAT + POWERS


RANGES = [(0, -128, 127), (13, 0, 255), (-7, -100, 90)]  # Ascend adds the offset in float16, which has a test of its own


@pytest.mark.parametrize(
    ("name", "zero", "low", "high"), [(n, *r) for n in names("arithmetics") for r in RANGES if n != "ascend" or not r[0]]
)
def test_equals_its_meaning(name: str, zero: int, low: int, high: int) -> None:
    module, meaning = load("arithmetics", name), MEANING[name]
    for real in scales_of(name):
        scale = np.float32(real)
        p = module.parameters(np.float32(1), scale, np.float32(1))
        acc = probes(float(scale))
        got = module.requantize(acc, p, zero, low, high)
        want = [naive.clamp(meaning(int(a), Fraction(float(scale))) + zero, low, high) for a in acc]
        assert got.tolist() == want, (name, real)


def test_ascend_adds_the_offset_in_float16() -> None:
    module = load("arithmetics", "ascend")
    p = module.parameters(np.float32(1), np.float32(0.037), np.float32(1))
    acc = probes(0.037)
    got = module.requantize(acc, p, 13, 0, 255)
    real = Fraction(float(np.float32(0.037)))
    for a, q in zip(acc.tolist(), got.tolist(), strict=True):
        scaled = naive.to_float16(naive.to_float32(naive.to_float32(Fraction(a)) * real))
        assert q == naive.clamp(naive.half_even(naive.to_float16(naive.to_float16(scaled) + 13)), 0, 255)


@pytest.mark.parametrize("name", names("arithmetics"))
@pytest.mark.parametrize("sums", ["i32", "i64"])
def test_compiled_equals_numpy(name: str, sums: str) -> None:
    """The finishing kernel is the same function that the reference calls on arrays, written out for lanes."""
    module = load("arithmetics", name)
    for real in scales_of(name):
        acc = probes(real)
        acc = np.concatenate([acc, [2**31 - 1, -(2**31), 2**30, -(2**30)]]) if module.BIAS != "int64" else acc
        p = module.parameters(np.float32(1), np.float32(real), np.float32(1))
        rows = [np.full(len(acc) + 16, v).astype(DTYPES[kind]) for kind, v in zip(module.PARAMETERS, p, strict=True)]
        given = {f"p{i}": row.ctypes.data for i, row in enumerate(rows)} | {"zero_point": 5, "low": 0, "high": 255}
        args = np.array([given.get(n, 0) for n in WAY_ARGS], np.int64)
        out, held = np.zeros(len(acc), np.uint8), np.append(acc, np.zeros(16, np.int64)).astype(DTYPES[sums])
        entry = address(Kernel(finish, (Way(module.requantize, module.PARAMETERS, "u8"), sums), 5))
        call(entry, args.ctypes.data, held.ctypes.data, 0, len(acc), out.ctypes.data)
        assert np.array_equal(out, module.requantize(acc, p, 5, 0, 255).astype(np.uint8)), real


def test_shifts_refuse_other_scales() -> None:
    for name in ("shift_half_up", "shift_half_away", "shift_truncate", "shift_half_even_positive"):
        with pytest.raises(HwsimError, match=r"must be a power of two, not 0\.3"):
            load("arithmetics", name).parameters(np.float32(0.3), np.float32(1), np.float32(1))


def rate(name: str, real: float, samples: int = 400_000) -> float:
    """Share of random accumulators whose output differs from exact rounding half to even."""
    rng = np.random.default_rng(0)
    module = load("arithmetics", name)
    acc = rng.integers(round(-128 / real), round(128 / real), samples)
    got = module.requantize(acc, module.parameters(np.float32(1), np.float32(real), np.float32(1)), 0, -128, 127)
    exact = np.clip(np.rint(acc * float(np.float32(real))), -128, 127)
    assert np.abs(got - exact).max() <= 1
    return float((got != exact).mean())


def test_mismatch_rates_of_the_variants() -> None:
    """Spec B3: rates ~ 2^-(right shift + 1) for double rounding, and none for the others at float scales."""
    assert rate("gemmlowp", 3.7123e-2) == pytest.approx(0.030, abs=0.004)
    assert rate("gemmlowp", 2.8123e-3) == pytest.approx(0.0018, abs=0.0004)
    for name in ("single_rounding", "fbgemm", "ncnn", "dyadic"):
        assert rate(name, 3.7123e-2) < 1e-5
    expected = {"shift_half_up": 0.031, "gemmlowp": 0.063, "ncnn": 0.032, "shift_half_even_positive": 0.015}
    for name, want in expected.items():
        assert rate(name, 2.0**-4) == pytest.approx(want, abs=0.002), name


def test_rounding_pieces() -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=5000) * np.exp2(rng.integers(-30, 17, 5000)), (np.arange(-999, 999) + 0.5)]).astype(np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(np.float16).astype(np.float32)
    assert np.array_equal(_rounding.half(x), want)
    for v in x[-1998:]:
        assert _rounding.round_away(v) == naive.half_away(Fraction(float(v)))
    a, b = rng.integers(-(2**31), 2**31, (2, 3000))
    assert _rounding.srdhm(a, b).tolist() == [naive.srdhm(int(p), int(q)) for p, q in zip(a, b, strict=True)]
    assert int(_rounding.srdhm(np.int64(-(2**31)), np.int64(-(2**31)))) == 2**31 - 1
    for n in range(12):
        assert _rounding.rdbp(a, n).tolist() == [naive.half_away(Fraction(int(v), 2**n)) for v in a]


def test_fused_multiply_add_rounds_once() -> None:
    rng = np.random.default_rng(2)
    a, b, c = ((rng.normal(size=4000) * np.exp2(rng.integers(-9, 9, 4000))).astype(np.float32) for _ in range(3))
    c[::3] = -(a[::3] * b[::3])
    got = _rounding.fma32(a, b, c)
    for i in range(len(a)):
        assert Fraction(float(got[i])) == naive.to_float32(Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i])))
