"""The debug flow names planted faults: a bad range, a broken axis, an accumulator that overflows, another network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.decide.debug import check_rows, diagnose, stage_rows
from hwsim.errors import HwsimError
from hwsim.graph import Constant, SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.pipeline.quantize import Outcome
from hwsim.quant import Array
from hwsim.quantizing import quantize_for
from hwsim.topologies._net import Net
from tests.test_check import normal


@pytest.fixture(scope="module")
def done(digits: SourceGraph, digits_images: Array) -> Outcome:
    return quantize_for(load_arch("fbgemm_x86"), digits, digits_images[:48], "w8a8", "mse+bias")


def changed(network: SourceGraph, name: str, array: Array) -> SourceGraph:
    t = network.tensors[name]
    return replace(network, tensors={**network.tensors, name: replace(t, shape=array.shape, constant=Constant.of(array, name))})


def test_a_good_network_has_no_faults(done: Outcome, digits_images: Array) -> None:
    """Quantizers off is the float network; each stage is at least as good as the next; advice, and nothing else."""
    found = diagnose(load_arch("fbgemm_x86"), done.prepared, done.network, digits_images[48:80], np.zeros(32, np.int64))
    assert found.stages[0].name == "quantizers off" and found.stages[0].sqnr_db > 100
    assert min(found.stages[1].sqnr_db, found.stages[2].sqnr_db) >= found.stages[3].sqnr_db - 0.5
    assert not found.faults and "cost more" in found.advice[0] and found.advice[1].startswith("worst layers: ")
    assert all(c.both_db <= min(c.weights_db, c.input_db) + 1 and not c.overflowed for c in found.layers)
    assert len(stage_rows(found)) == 5 and len(check_rows(found)) == len(done.layers)


def test_a_bad_range_is_named(done: Outcome, digits_images: Array) -> None:
    layer = done.layers[3].name
    node = next(n for n in done.network.nodes if n.name == layer)
    scale = f"{node.inputs[0].removesuffix('.dequantized')}.scale"
    held = done.network.tensors[scale].constant
    assert held is not None
    for factor, why in ((20.0, "too wide"), (0.1, "% clipped")):
        broken = changed(done.network, scale, (held.array * np.float32(factor)).astype(np.float32))
        faults = [f for f in diagnose(load_arch("fbgemm_x86"), done.prepared, broken, digits_images[:16]).findings if "the range of" in f]
        assert any(f.startswith(f"{layer}: the range of") and why in f for f in faults), faults


def test_a_broken_axis_is_named() -> None:
    net = Net("square", seed=2)
    x = net.conv(net.conv(net.conv(net.input("input", ("N", 3, 8, 8)), 6, 3, name="a"), 6, 3, name="b"), 4, 1, name="c")  # type: ignore[arg-type]
    chip, source, images = load_arch("fbgemm_x86"), net.finish(x), normal(8, 3, 8, 8)
    done = quantize_for(chip, source, images, "w8a8", "minmax")
    nodes = tuple(replace(n, attrs={"axis": 1}) if n.name == "b.weight.w8.dequantize" else n for n in done.network.nodes)
    found = diagnose(chip, done.prepared, replace(done.network, nodes=nodes), images)
    assert "b: weights have one scale for each entry of axis 1; outputs run along axis 0" in found.findings


def test_an_overflowing_accumulator_is_named(done: Outcome, digits_images: Array) -> None:
    chip = load_arch("fbgemm_x86", {"arrays.vnni.accumulator.bits": "12"})
    found = diagnose(chip, done.prepared, done.network, digits_images[:16])
    faults = [f for f in found.findings if "accumulations overflow on the chip" in f]
    assert faults and found.findings[-1].startswith("the chip's arithmetic costs more than quantization")
    assert {f.partition(":")[0] for f in faults} == {c.name for c in found.layers if c.overflowed}


def test_another_network_is_told(done: Outcome, digits: SourceGraph, digits_images: Array) -> None:
    """Other weights under the same names: the output differs with all quantizers off; other names: refused."""
    name = next(n for n in done.prepared.nodes if n.name == done.layers[1].name).inputs[1]
    held = done.prepared.tensors[name].constant
    assert held is not None
    renamed = tuple(replace(n, name=f"{n.name}x") for n in done.prepared.nodes)
    with pytest.raises(HwsimError, match="must be quantized from this float network, with the same names, not 'stem'"):
        diagnose(load_arch("fbgemm_x86"), replace(done.prepared, nodes=renamed), done.network, digits_images[:4])
    with pytest.raises(HwsimError, match="must have layers with quantized weights"):
        diagnose(load_arch("fbgemm_x86"), done.prepared, done.prepared, digits_images[:4])
    unfolded = diagnose(load_arch("fbgemm_x86"), changed(done.prepared, name, -held.array), done.network, digits_images[:16])
    assert any(f.startswith(f"{done.layers[1].name}: weights lose") for f in unfolded.findings)
