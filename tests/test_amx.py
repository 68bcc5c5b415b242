"""Sums in tile registers against NumPy: every width of weights, window, edge of a tile and size of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.kernels import host
from hwsim.ops import _route_amx as route
from hwsim.program import Accumulator
from tests.test_widths import asymmetric, convolve, numbers, run_both

pytestmark = pytest.mark.skipif(not host.amx(), reason="the processor has no AMX, or the system does not permit it")
FORMS = st.sampled_from(["uint8", "int8", "uint4", "int3", "bipolar", "ternary"])
WEIGHTS = st.sampled_from(["int8", "int4", "int2", "ternary", "bipolar"])
BLOCKS = st.sampled_from([1, 4096, 1 << 20])
PRODUCTS = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}


@contextmanager
def every_product_in_tiles(cached: int = 1 << 20) -> Iterator[None]:
    """Products of any size, with so many bytes of weights in a block; fails where none went into tiles."""
    always = patch.multiple(route, LEAST=0, LEAST_DEPTH=0, LEAST_PIXELS=0, CACHED=cached)
    with always, patch.object(route, "groups_of", wraps=route.groups_of) as seen:
        yield
    assert seen.called


@settings(max_examples=200)
@given(FORMS, WEIGHTS, st.booleans(), st.integers(1, 100), st.sampled_from([1, 5, 63, 64, 65, 128, 200]), st.integers(1, 70), BLOCKS)
def test_matrix_products(xf: str, wf: str, worst: bool, rows: int, depth: int, outputs: int, cached: int) -> None:
    rng = np.random.default_rng(depth)
    x, w = numbers(rng, xf, (rows, depth), worst), numbers(rng, wf, (depth, outputs), worst)
    with every_product_in_tiles(cached):
        run_both("matmul", x, w, (xf, wf), (0, 0), Accumulator(), PRODUCTS, (rows, outputs))


convolutions = st.fixed_dictionaries(
    {
        "x": FORMS,
        "w": WEIGHTS,
        "worst": st.booleans(),
        "channels": st.sampled_from([4, 16, 24, 64, 70]),
        "outputs": st.sampled_from([1, 6, 17, 40]),
        "kernel": st.sampled_from([(1, 1), (3, 3), (2, 3)]),
        "stride": st.sampled_from([1, 2]),
        "pad": st.sampled_from([0, 1]),
        "dilation": st.sampled_from([1, 2]),
        "group": st.sampled_from([1, 2]),
    }
)


@settings(max_examples=200)
@given(convolutions, BLOCKS, st.sampled_from([0, 1]))
def test_convolutions(c: dict[str, Any], cached: int, zero: int) -> None:
    with every_product_in_tiles(cached):
        convolve(c, Accumulator(), (zero, 0))


@settings(max_examples=200)
@given(convolutions, asymmetric, st.sampled_from([0, 200]), BLOCKS)
def test_weights_with_their_zero_points_in_them(c: dict[str, Any], w: tuple[str, int], zero: int, cached: int) -> None:
    with every_product_in_tiles(cached):
        convolve(c | {"x": "uint8", "w": w[0]}, Accumulator(), (zero, w[1]))


@settings(max_examples=200)
@given(convolutions, st.sampled_from([8, 12, 16, 20]), st.sampled_from([0, 1]))
def test_accumulators_that_wrap(c: dict[str, Any], bits: int, zero: int) -> None:
    """Overflowed sums are counted once, also in a tile that would repeat pixels of the one before."""
    with every_product_in_tiles():
        convolve(c | {"x": "uint8", "w": "int8", "worst": True, "channels": 70}, Accumulator(bits), (zero, 0))


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_transposed_convolution(stride: int) -> None:
    rng = np.random.default_rng(stride)
    x, w = numbers(rng, "uint8", (2, 20, 6, 5), True), numbers(rng, "int8", (20, 33, 3, 3), True)
    size = tuple((n - 1) * stride + 3 for n in (6, 5))
    with every_product_in_tiles():
        attrs = {"group": 1, "strides": (stride, stride), "dilations": (1, 1), "crop": [0, 0], "size": size}
        run_both("conv_transpose", x, w, ("uint8", "int8"), (7, 0), Accumulator(), attrs, (2, 33, *size))
