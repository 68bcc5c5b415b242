"""Number formats: every code of ml_dtypes' types, rounding of many numbers, and the integer grids by their definition."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.quant import Array, Format

TYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8e8m0": ml_dtypes.float8_e8m0fnu,
    "float6e3m2": ml_dtypes.float6_e3m2fn,
    "float6e2m3": ml_dtypes.float6_e2m3fn,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
}
INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (2, 3, 4, 5, 7, 8, 12, 16, 24, 32)]


def codes(fmt: Format, dtype: type) -> tuple[Array, Array]:
    """Every bit pattern and what it stands for."""
    patterns = np.arange(1 << fmt.bits, dtype=np.uint8 if fmt.bits <= 8 else np.uint16)
    return patterns, patterns.view(dtype).astype(np.float32)


def numbers(fmt: Format) -> Array:
    """Numbers at, beside and between the grid points, far out, and special ones."""
    grid = fmt.decode(np.arange(1 << fmt.bits)).astype(np.float64)
    grid = np.unique(grid[np.isfinite(grid)])
    middles = (grid[1:] + grid[:-1]) / 2
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(4000) * 2.0 ** rng.integers(-20, 20, 4000)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore"):
        return np.concatenate([grid, middles, np.nextafter(middles, 0), np.nextafter(middles, np.inf), spread, special]).astype(np.float32)


@pytest.mark.parametrize("name", TYPES)
def test_every_code(name: str) -> None:
    fmt = formats.get(name)
    patterns, meant = codes(fmt, TYPES[name])
    assert np.array_equal(fmt.decode(patterns), meant, equal_nan=True)
    finite = np.isfinite(meant)
    assert np.array_equal(fmt.encode(meant[finite]).astype(patterns.dtype), patterns[finite])
    assert np.nanmax(meant[finite]) == fmt.high


@pytest.mark.parametrize("name", [n for n in TYPES if n not in ("float6e3m2", "float6e2m3", "float4e2m1", "float8e8m0")])
def test_rounding_without_saturation(name: str) -> None:
    fmt = formats.get(name)
    x = numbers(fmt)
    with np.errstate(all="ignore"):
        want = x.astype(TYPES[name]).astype(np.float32)
    assert np.array_equal(fmt.round(x, saturate=False), want, equal_nan=True)


@pytest.mark.parametrize("name", ["float6e3m2", "float6e2m3", "float4e2m1"])
def test_rounding_of_formats_without_specials(name: str) -> None:
    fmt = formats.get(name)
    x = numbers(fmt)
    x = x[np.isfinite(x)]
    assert np.array_equal(fmt.round(x), np.clip(x, -fmt.high, fmt.high).astype(TYPES[name]).astype(np.float32))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name: str) -> None:
    fmt = formats.get(name)
    bits = fmt.bits
    assert (fmt.low, fmt.high) == ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if fmt.is_signed else (0, 2**bits - 1))
    x = np.array([-3e9, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3e9, 0.49999997])
    assert np.array_equal(fmt.round(x), np.clip(np.rint(x), fmt.low, fmt.high))
    held = np.linspace(int(fmt.low), int(fmt.high), 99).astype(np.int64)
    assert np.array_equal(fmt.decode(fmt.encode(held)), held)
    assert fmt.encode(held).max() < 2**bits


@pytest.mark.parametrize(("name", "levels"), [("ternary", [-1, 0, 1]), ("bipolar", [-1, 1]), ("pot3", [-1, -0.5, -0.25, 0, 0.25, 0.5, 1])])
def test_level_formats(name: str, levels: list[float]) -> None:
    fmt = formats.get(name)
    x = np.linspace(-1.4, 1.4, 57) + 1e-3
    nearest = np.array(levels)[np.abs(x[:, None] - np.array(levels)).argmin(1)]
    assert np.allclose(fmt.round(x), nearest)
    assert np.array_equal(fmt.decode(fmt.encode(nearest)), nearest)


@pytest.mark.parametrize("name", ["int0", "int65", "intx", "float7", "float8e9m9", "bfloat8", "pot9", "sausage"])
def test_unknown_formats(name: str) -> None:
    with pytest.raises(HwsimError, match="must"):
        formats.get(name)
