"""Dead output channels leave the network, and not one bit of its outputs changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim import load_arch, load_model
from hwsim.arch import Arch
from hwsim.graph import Constant, Graph, SourceGraph
from hwsim.io.arch_yaml import presets
from hwsim.simulate import price
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import lower
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.data import shared

ON = {"removes_dead_channels": "true"}
IMAGES = np.random.default_rng(1).standard_normal((1, 3, 8, 8), np.float32)


def network(pad: int, act: str | None = "Relu") -> SourceGraph:
    """A dense, a depthwise and a pointwise convolution, a pool and a linear layer: 12 channels in between, of which 5 are dead."""
    net = Net("dead", seed=3)
    x = net.conv_bn(net.input("input", (1, 3, 8, 8)), 12, 3, act=act)
    x = net.conv_bn(x, 12, 3 if pad else 1, groups=12, act=act)
    x = net.conv_bn(x, 6, 1, act=act)
    return fold_batch_norm(net.finish(net.classify(net.conv_bn(x, 9, 1, act=act), 4)))


def with_dead(source: SourceGraph, dead: dict[int, list[int]], bias: float) -> SourceGraph:
    """Weights of output channels of the n-th convolution set to 0, and their bias to a number."""
    tensors = dict(source.tensors)
    convs = [n for n in source.nodes if n.kind == "Conv"]
    for index, channels in dead.items():
        for name, value in zip(convs[index].inputs[1:3], (0.0, bias), strict=True):
            held = tensors[name].constant
            assert held is not None
            array = held.array.copy()
            array[channels] = value
            tensors[name] = _constant(tensors[name], array)
    return SourceGraph(**{**vars(source), "tensors": tensors})


def _constant(tensor: Any, array: Any) -> Any:
    return type(tensor)(tensor.name, tensor.format, tensor.shape, Constant.of(array, tensor.name))


def quantized(arch: Arch, source: SourceGraph) -> Graph:
    return read(quantize(source, arch.quantization, "w8a8", ranges_of(read(source), [{"input": IMAGES}])))


def both(name: str, source: SourceGraph, fields: dict[str, str] | None = None) -> tuple[int, int]:
    """MACs with and without the dead channels, after all outputs were found equal in both executors."""
    off, on = load_arch(name, fields), load_arch(name, {**(fields or {}), **ON})
    graph = quantized(off, source)
    feeds = {graph.inputs[0]: IMAGES}
    whole, less = lower(graph, off), lower(graph, on)
    for engine in ("reference", "numba"):
        first, second = (execute(p, feeds, engine=engine).tensors for p in (whole, less))
        assert first.keys() == second.keys()
        for tensor, array in first.items():
            np.testing.assert_array_equal(array, second[tensor])
    return price(off, whole).macs, price(on, less).macs


DEAD = {0: [1, 4, 5, 9, 11]}


RUN_ALL = [n for n in presets() if load_arch(n).fallback or any("depthwise" in a.runs for a in load_arch(n).arrays.values())]


@pytest.mark.parametrize("name", RUN_ALL)
def test_the_same_bits_on_every_chip(name: str) -> None:
    for bias in (-0.7, 0.0, 0.6):
        before, after = both(name, with_dead(network(pad=0), DEAD, bias))
        assert after <= before


def test_what_goes_by_hand() -> None:
    """The first convolution loses 5 of 12 outputs (3 x 9 taps), the depthwise one 5 channels, the pointwise one 5 of 12 inputs of 6
    outputs; 64 positions each."""
    before, after = both("cortex_m4", with_dead(network(pad=0), DEAD, 0.6))
    assert before - after == 64 * (5 * 27 + 5 + 5 * 6)


def test_padding_ends_a_constant_that_is_not_zero() -> None:
    """At the border fewer taps see it (one of the five ends below the ReLU everywhere).  Behind a ReLU a negative bias is 0, and zeros
    are what padding is."""
    before, after = both("cortex_m4", with_dead(network(pad=1), DEAD, 0.6))
    assert before - after == 64 * (27 + 9 + 6)
    before, after = both("cortex_m4", with_dead(network(pad=1), DEAD, -0.7))
    assert before - after == 64 * (5 * 27 + 5 * 9 + 5 * 6)


def test_several_layers_and_the_linear_one() -> None:
    """Dead outputs of the last convolution go through the pool into the linear layer's bias; dead inputs on the way stay cheap."""
    before, after = both("cortex_m4", with_dead(network(pad=0), {0: [0, 1], 3: [2, 8]}, 0.4))
    assert before - after == 64 * (2 * 27 + 2 + 2 * 6) + 64 * 2 * 6 + 2 * 4


def test_one_channel_stays() -> None:
    before, after = both("cortex_m4", with_dead(network(pad=0), {0: list(range(12))}, 0.6))
    assert before - after == 64 * 11 * (27 + 1 + 6)


def test_sums_that_saturate_step_by_step_keep_what_they_would_see() -> None:
    """Pairs of products saturate to 16 bits together: taking one away would pair others."""
    pairs = {"arrays.dsp.accumulator": "{every: pair, overflow: saturate}"}
    before, after = both("cortex_m4", with_dead(network(pad=0), DEAD, 0.6), pairs)
    assert before == after


def test_sums_that_saturate_product_by_product_lose_zeros_alone() -> None:
    """Where zero points are subtracted first, a real 0 adds nothing; one of the five is not 0 behind the depthwise layer, and stays."""
    each = {"arrays.dsp.accumulator": "{every: mac, overflow: saturate, zero_points: subtracted, bits: 16}"}
    before, after = both("cortex_m4", with_dead(network(pad=0), DEAD, 0.6), each)
    assert before - after == 64 * 4 * (27 + 1 + 6)


def test_off_by_default() -> None:
    assert not any(load_arch(name).removes_dead_channels for name in presets())


def test_visual_wake_words() -> None:
    """MLPerf Tiny's int8 MobileNet: 3.74 of 7.49 million products stay, and every output is the same."""
    graph = load_model(shared("models/mlperf_tiny/models/vww_96_int8.tflite"))
    x = graph.tensors[graph.inputs[0]]
    feeds = {x.name: np.random.default_rng(0).integers(-128, 128, x.shape).astype(np.int8)}
    off, on = load_arch("cortex_m4"), load_arch("cortex_m4", ON)
    whole, less = lower(graph, off), lower(graph, on)
    first, second = (execute(p, feeds).tensors for p in (whole, less))
    assert all(np.array_equal(first[t], second[t]) for t in first)
    assert (price(off, whole).macs, price(on, less).macs) == (7489664, 3742091)
