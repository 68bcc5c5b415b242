"""Random TFLite files of one 8-bit operator, probes and networks against LiteRT's default delegate, XNNPACK."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.arithmetics.xnnpack import BINARY
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from tests import steps
from tests.litert import Judged
from tests.test_litert_networks import judged
from tests.test_litert_operators import disagreements
from tests.test_litert_probes import PRODUCTS, WIDTHS, beside_boundaries, wrong_in
from tests.tflite_models import CASES, Model, quant

# XNNPACK is asked for 8-bit tensors; without a bias LiteRT's optimized depthwise kernel stops the process
ASKED = [c for c in CASES if "int16" not in c and "no bias" not in c]
# run by LiteRT's optimized kernels, whose vector bodies and tails round differently
MIXED = ("DEPTHWISE_CONV_2D int8 int4", "TRANSPOSE_CONV uint8", "QUANTIZE uint8 int8", "QUANTIZE int8 uint8")
# XNNPACK quantizes the inputs of these with a zero point
OTHER_STEPS = ("CONV_2D hybrid", "FULLY_CONNECTED hybrid")


@pytest.mark.parametrize("case", [c for c in ASKED if c not in (*MIXED, *OTHER_STEPS)])
def test_equals_xnnpack(case: str) -> None:
    found = [disagreements(case, seed, "BUILTIN") for seed in range(3)]
    assert [f for f in found if f and f != ["refused"]] == []
    assert any(not f for f in found)


def in_xnnpack(judged: Judged) -> Judged:
    return replace(judged, kernels="BUILTIN")


@pytest.mark.parametrize(("x", "w", "per_channel"), WIDTHS)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_beside_rounding_boundaries(kind: str, x: str, w: str, per_channel: bool) -> None:
    cases = [beside_boundaries(kind, x, w, per_channel, np.random.default_rng(seed)) for seed in range(8)]
    assert [wrong_in(in_xnnpack(network), feeds, arithmetic="xnnpack") for network, feeds in cases] == [0] * len(cases)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_probes_tell_it_from_the_reference(kind: str) -> None:
    cases = [beside_boundaries(kind, "int8", "int8", True, np.random.default_rng(seed)) for seed in range(8)]
    assert sum(wrong_in(in_xnnpack(network), feeds, arithmetic="litert_ref") for network, feeds in cases) > 0


@pytest.mark.parametrize("fmt", ["uint8", "int8"])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_all_pairs_of_operands(name: str, fmt: str) -> None:
    ends = np.iinfo(fmt)
    every = np.arange(ends.min, ends.max + 1).astype(fmt)
    feeds = {"t0": np.repeat(every, 256).reshape(1, 256, 256), "t1": np.tile(every, 256).reshape(1, 256, 256)}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        s = 10 ** rng.uniform(-2, 0, 2) if seed < 2 else 2.0 ** rng.integers(-4, 0, 2) if seed == 2 else np.full(2, 0.1)
        y_scale = s[0] * s[1] * 60 if name == "MUL" else max(s) * 1.3
        m, zeros = Model(), rng.integers(ends.min, ends.max + 1, 3)
        a, b = (m.input([1, 256, 256], fmt, quant(s[i], zeros[i])) for i in range(2))
        m.operator(name, [a, b], [m.tensor([1, 256, 256], fmt, quant(y_scale, zeros[2]))], name.title(), 2)
        assert wrong_in(Judged(m.bytes(), name, "BUILTIN"), feeds, arithmetic="xnnpack") == 0, seed


@pytest.mark.parametrize("path", ["pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "ad01_int8", "str_ww_ref_model"])
def test_networks(path: str) -> None:
    """The outputs of whole networks; inner tensors are not kept by XNNPACK."""
    network = judged(f"mlperf_tiny/models/{path}", "BUILTIN")
    rng = np.random.default_rng(3)
    for _ in range(10):
        feeds = network.random_feeds(rng)
        (name,) = network.network.outputs
        found = execute(as_written(network.graph), feeds).tensors[name]
        assert np.array_equal(found, network.reference(feeds, [name])[name])


@pytest.mark.parametrize("power", [-16, -11, -10, -3, 0, 7])
def test_sums_by_their_definition(power: int) -> None:
    """(a - za) ma + (b - zb) mb, half a step added, shifted: in integers of any length, where all of them are at their ends."""
    ends = ((1.9 * 2.0**power, 0), (1.1 * 2.0**power, 255), (1, 9))
    qa, qb, y = (steps.quant("uint8", np.float32(scale), zero) for scale, zero in ends)
    ma, mb, shift, za, zb, zero = (int(v) for v in BINARY["add"][0](qa, qb, y))
    a, b = (v.astype(np.uint8) for v in np.meshgrid(np.arange(256), np.arange(256)))
    inputs = [(steps.stored("a", a, qa), a), (steps.stored("b", b, qb), b)]
    program, feeds = steps.step_program("binary", list(inputs), (a.shape, y), {"function": "add"}, "xnnpack")
    totals = ((int(p) - za) * ma + (int(q) - zb) * mb for p, q in zip(a.ravel(), b.ravel(), strict=True))
    wanted = np.clip([((t + (1 << shift - 1)) >> shift) + zero for t in totals], 0, 255).reshape(a.shape)
    for engine in steps.ENGINES:
        assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], wanted), engine
