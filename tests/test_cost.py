"""The cost model against examples worked by hand: every number stands in a comment before it is asserted.

The tiny chip has 16 multipliers (4 outputs x 4 input channels), 100 MHz, one SRAM and one DRAM.  It is a 45 nm chip at 0.9 V, as the
energy table is, so that the table's prices hold as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.arch import Arch
from hwsim.cost import Cost, LayerCost
from hwsim.graph import Constant, Graph, SourceGraph, SourceNode, SourceTensor
from hwsim.io.arch_yaml import load_arch, load_costs, load_scaling
from hwsim.result import Result
from hwsim.simulate import price, simulate
from hwsim.steps.lower import lower
from hwsim.steps.place import carry
from hwsim.steps.prices import Prices, gate_energy, prices_of
from hwsim.steps.read import read
from tests.data import shared

TINY = """
name: tiny
title: A made-up chip
clock: {frequency: 100 MHz, assumed: made up}
process: {node: 45 nm, voltage: 0.9 V, assumed: made up}
arrays:
  mac:
    unroll: [{K: 4, C: 4}]
    dataflow: output_stationary
    rates: {w8a8: 1}
    runs: [conv, matmul]
    fuses: [relu]
    assumed: made up
vector:
  alu:
    rates: {default: 4 /cycle, requantize: 2 /cycle, add: 1 /cycle}
    assumed: made up
memories:
  sram: {size: 4 KiB, read: 32 B/cycle, write: 8 B/cycle, latency: 2 cycles, read_energy: 0.5 pJ/bit, write_energy: 0.25 pJ/bit,
         assumed: made up}
  dram: {read: 4 B/cycle, write: 4 B/cycle, latency: 10 cycles, on_chip: false, read_energy: 10 pJ/bit, write_energy: 12 pJ/bit,
         assumed: made up}
dma: {setup: 5 cycles, assumed: made up}
overheads: {per_inference: 1 us, per_layer: 20 cycles, assumed: made up}
arithmetic: {default: single_rounding, assumed: made up}
quantization:
  weights: {formats: [int8, int4], granularity: per_channel, symmetric: true}
  activations: {formats: [int8]}
  graph: 3
  assumed: made up
fallback: {name: host, macs: 2 /cycle, elements: 1 /cycle, handover: 1 us, energy_per_op: 20 pJ, assumed: made up}
energy: {table: horowitz_45nm, leakage: 10 mW, assumed: made up}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """The tiny chip with fields changed."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return lambda **changed: load_arch(file, {k.replace("__", "."): v for k, v in changed.items()})


class Stored:
    """A network on stored tensors from end to end, as QDQ: what goes in and out is int8, so that its layers are its operators alone."""

    def __init__(self, shape: Sequence[int], activation: str = "int8") -> None:
        self.tensors = {"input": SourceTensor("input", activation, tuple(shape))}
        self.nodes: list[SourceNode] = []
        self.activation, self.last = activation, "input"

    def constant(self, name: str, array: Any, fmt: str) -> str:
        held = np.asarray(array)
        self.tensors[name] = SourceTensor(name, fmt, held.shape, Constant.of(held, name))
        return name

    def grid(self, name: str, scale: Any, fmt: str) -> tuple[str, str]:
        scales = np.asarray(scale, np.float32)
        return self.constant(f"{name}.scale", scales, "float32"), self.constant(f"{name}.zero", np.zeros(scales.shape, np.int8), fmt)

    def add(self, kind: str, name: str, inputs: Sequence[str], **attrs: Any) -> str:
        self.nodes.append(SourceNode(kind, name, tuple(inputs), (f"{name}.out",), attrs, 21))
        return f"{name}.out"

    def real(self, stored: str) -> str:
        """The real form of a stored tensor."""
        return self.add("DequantizeLinear", f"{stored}.real{len(self.nodes)}", (stored, *self.grid(stored, 0.5, self.activation)))

    def then(
        self, kind: str, name: str, weights: Sequence[int] = (), fmt: str = "int8", bias: bool = False, scale: Any = 0.5, **attrs: Any
    ) -> Stored:
        """One more operator behind the last, with ones as weights."""
        inputs = [self.real(self.last)]
        if weights:
            w = self.constant(f"{name}.w", np.ones(weights, np.int8), fmt)
            axis = {"axis": 0} if np.ndim(scale) else {}
            inputs.append(self.add("DequantizeLinear", f"{name}.weights", (w, *self.grid(f"{name}.w", scale, fmt)), **axis))
        if bias:
            b = self.constant(f"{name}.b", np.zeros(weights[0], np.int32), "int32")
            inputs.append(self.add("DequantizeLinear", f"{name}.bias", (b, *self.grid(f"{name}.b", 0.25, "int32"))))
        y = self.add(kind, name, inputs, **attrs)
        self.last = self.add("QuantizeLinear", f"{name}.quantize", (y, *self.grid(y, 0.5, self.activation)))
        return self

    def conv(self, name: str, outputs: int, channels: int, kernel: int, groups: int = 1, **given: Any) -> Stored:
        """A convolution that keeps the size."""
        return self.then(
            "Conv",
            name,
            (outputs, channels // groups, kernel, kernel),
            kernel_shape=[kernel] * 2,
            pads=[kernel // 2] * 4,
            group=groups,
            **given,
        )

    def graph(self) -> Graph:
        shape = read(self.source(None)).tensors[self.last].shape
        return read(self.source(shape))

    def source(self, shape: tuple[int, ...] | None) -> SourceGraph:
        tensors = {**self.tensors, self.last: SourceTensor(self.last, self.activation, shape)}
        return SourceGraph("worked", tuple(self.nodes), tensors, ("input",), (self.last,), "0", "onnxruntime", 21)


def cost_of(arch: Arch, net: Stored) -> Cost:
    return price(arch, lower(net.graph(), arch))


def only(arch: Arch, net: Stored) -> LayerCost:
    """The one layer beside the row of the inference's overhead."""
    layer, last = cost_of(arch, net).layers
    assert last.name == "(inference)"
    return layer


def six_to_six() -> Stored:
    """A 3x3 convolution of 6 channels to 6 on 5 x 5 positions, with bias."""
    return Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3, bias=True)


# One convolution on the tiny chip ----------------------------------------------------------------------------------------------------


def test_compute_with_partial_edges(tiny: Any) -> None:
    """6 outputs take 2 rounds of 4, 6 channels 2 rounds of 4, 25 positions, 9 taps: 2 x 2 x 25 x 9 = 900 steps of 16 multipliers."""
    layer = only(tiny(), six_to_six())
    assert layer.macs == 6 * 6 * 25 * 9 == 8100
    assert layer.busy["mac"] == layer.cycles["compute"] == 900
    assert layer.slots == 900 * 16
    assert layer.utilisation == 8100 / 14400 == 0.5625


def test_traffic_of_a_layer_whose_activations_stay_on_chip(tiny: Any) -> None:
    """Input and output are 150 B each: both stay in the 4 KiB.  DRAM gives 324 weights of 8 bits and 6 biases of 32 once: 2784 bits.

    The array fetches 4 x 4 weights and 4 inputs in each of 900 steps: (16 + 4) x 8 x 900 = 144000 bits; it writes 150 outputs: 1200.
    """
    layer = only(tiny(), six_to_six())
    assert layer.read_bits == {"sram": 144000, "dram": 2784}
    assert layer.write_bits == {"sram": 1200 + 2784, "dram": 0}
    assert layer.weight_storage_bits == 2784
    assert layer.onchip_bits == 2 * 150 * 8


def test_parts_of_the_time(tiny: Any) -> None:
    """900 cycles of compute hide all else: requantization 150 / 2 = 75, SRAM reads 144000 / 256 = 562.5, SRAM writes 3984 / 64 = 62.25
    (beside the reads), DRAM 2784 / 32 = 87, one transfer set up in 5.  What shows: latencies 2 + 10, and 20 for the layer."""
    layer = only(tiny(), six_to_six())
    assert layer.busy == {"mac": 900, "alu": 75, "sram": 563, "dram": 87}
    assert layer.cycles == {"compute": 900, "vector": 0, "memory": 12, "overhead": 20}
    assert layer.bound_by == "mac"


def test_a_vector_unit_that_is_the_array_adds_its_time(tiny: Any) -> None:
    layer = only(tiny(vector__alu__overlaps="false"), six_to_six())
    assert layer.cycles == {"compute": 900, "vector": 75, "memory": 12, "overhead": 20}


def test_a_slow_vector_unit_adds_what_sticks_out(tiny: Any) -> None:
    """150 / 0.125 = 1200 cycles, 300 more than the array's."""
    layer = only(tiny(vector__alu__rates="{default: 4 /cycle, requantize: 0.125 /cycle}"), six_to_six())
    assert layer.cycles == {"compute": 900, "vector": 300, "memory": 12, "overhead": 20}
    assert layer.bound_by == "alu"


def test_memory_that_sticks_out(tiny: Any) -> None:
    """A quarter of the SRAM's bandwidth: 144000 / 64 = 2250 cycles, 1350 more than compute; latencies on top."""
    layer = only(tiny(memories__sram__read="8 B/cycle"), six_to_six())
    assert layer.cycles == {"compute": 900, "vector": 0, "memory": 1350 + 12, "overhead": 20}
    assert layer.bound_by == "sram"


def test_single_buffered_memory_loads_while_nothing_works(tiny: Any) -> None:
    """Weights come in before the array starts: 2784 / 64 = 43.5 cycles, in full.  The array's own feed still hides (563 of 900)."""
    layer = only(tiny(memories__sram__double_buffered="false"), six_to_six())
    assert layer.cycles == {"compute": 900, "vector": 0, "memory": 44 + 12, "overhead": 20}


def test_single_buffered_feed_that_sticks_out_counts_once(tiny: Any) -> None:
    """Feed 144000 / 64 = 2250, load 44: the load is not counted in the feed's time again."""
    layer = only(tiny(memories__sram__double_buffered="false", memories__sram__read="8 B/cycle"), six_to_six())
    assert layer.cycles["memory"] == (2250 - 900) + 44 + 12


def test_energy_by_part(tiny: Any) -> None:
    """Horowitz 45 nm: multiply 8 x 8 0.2 pJ, add 32 bits 0.03 x 4 = 0.12 pJ, register 0.009 pJ/bit.

    mac         8100 x (0.2 + 0.12) = 2592
    register    8100 x (8 + 8 operand bits + 32 read + 32 written) x 0.009 = 8100 x 0.72 = 5832
    requantize  150 x (multiply 32 x 32: 0.2 x 16 = 3.2, add 0.12) = 150 x 3.32 = 498
    sram        144000 x 0.5 + 3984 x 0.25 = 72996
    dram        2784 x 10 = 27840
    leakage     10 mW / 100 MHz = 100 pJ a cycle, 932 cycles
    """
    layer = only(tiny(), six_to_six())
    read = {"weights_read": 900 * 16, "inputs_read": 900 * 4, "outputs_written": 150}
    assert layer.actions == {"requantize": 150, "mac": 8100, "scale": 1, **read}
    assert layer.energy_pj == {
        "mac": 2592,
        "register": 5832,
        "zero_point": 0,
        "requantize": 498,
        "unpack": 0,
        "vector": 0,
        "sram": 72996,
        "dram": 27840,
        "leakage": 93200,
    }
    assert layer.total_pj == 202958


def test_network_and_timeline(tiny: Any) -> None:
    """900 + 0 + 12 + 20 = 932 cycles and 1 us = 100 cycles around them; 1032 cycles at 100 MHz; 100 x 100 pJ leak meanwhile."""
    result: Result = simulate(tiny(), six_to_six().graph())
    assert [(s.name, s.start, s.end, s.onchip_bytes) for s in result.timeline] == [("conv", 0, 932, 300), ("(inference)", 932, 1032, 0)]
    assert result.cost.cycles == 1032
    assert result.latency_s == pytest.approx(10.32e-6, rel=1e-12)
    assert result.cost.energy_pj == 202958 + 10000
    assert result.tops == pytest.approx(2 * 8100 / 10.32e-6 / 1e12)
    assert result.mac_utilisation == 8100 / (16 * 1032)
    assert result.cost.fits


# Tiles -------------------------------------------------------------------------------------------------------------------------------


def test_tiles_of_a_pointwise_layer(tiny: Any) -> None:
    """4 channels to 4 on 8 x 8: weights 128 bits, input and output 2048 each, 256 for each of their 8 rows.

    An SRAM of 2304 bits holds two weights' tiles and two tiles of 2 + 2 rows: 2 x (128 + 512 + 512) = 2304.  4 tiles, nothing twice.
    DRAM moves 128 + 2048 + 2048 bits over pins that reads and writes share: 4224 / 32 = 132 cycles; 4 transfers of 5 cycles hide.
    64 steps of compute; (132 - 64) + 12 cycles of memory.
    """
    net = Stored((1, 4, 8, 8)).conv("conv", 4, 4, 1)
    layer = only(tiny(memories__sram__size="2304 bits"), net)
    assert (layer.read_bits["dram"], layer.write_bits["dram"]) == (128 + 2048, 2048)
    assert layer.onchip_bits == 2304
    assert layer.cycles == {"compute": 64, "vector": 64, "memory": 132 - 128 + 12, "overhead": 20}


def test_one_bit_less_needs_tiles_of_half_the_rows(tiny: Any) -> None:
    """2303 bits: 1 + 1 rows at a time, 2 x (128 + 256 + 256) = 1280 bits; 8 tiles, the same traffic."""
    net = Stored((1, 4, 8, 8)).conv("conv", 4, 4, 1)
    layer = only(tiny(memories__sram__size="2303 bits"), net)
    assert (layer.read_bits["dram"], layer.write_bits["dram"]) == (128 + 2048, 2048)
    assert layer.onchip_bits == 1280


def test_transfers_take_their_setup(tiny: Any) -> None:
    """8 transfers of 50 cycles, two at a time: 200 cycles, more than the 132 of the pins."""
    net = Stored((1, 4, 8, 8)).conv("conv", 4, 4, 1)
    layer = only(tiny(memories__sram__size="2303 bits", dma__setup="50 cycles", dma__channels="2"), net)
    assert layer.cycles["memory"] == 200 - 128 + 12


def test_rows_that_two_tiles_share_come_twice(tiny: Any) -> None:
    """One channel, 3x3, 8 x 8: 2 output rows need 4 input rows.  A tile is 72 + 4 x 64 + 2 x 64 = 456 bits, 912 for two.

    4 tiles read 4 x 4 rows of 64 bits instead of 8 rows: 1024 bits.  Tiles of 1 row would read 8 x 3 rows.
    """
    net = Stored((1, 1, 8, 8)).conv("conv", 1, 1, 3)
    layer = only(tiny(memories__sram__size="912 bits"), net)
    assert layer.read_bits["dram"] == 72 + 4 * 4 * 64
    assert only(tiny(memories__sram__size="911 bits"), net).read_bits["dram"] == 72 + 8 * 3 * 64


def test_rows_under_no_window_stay_away(tiny: Any) -> None:
    """A pointwise layer of stride 2 reads 4 of 8 rows of 64 bits; 8 bits of weights; all stay away from an SRAM of 300 bits."""
    net = Stored((1, 1, 8, 8)).then("Conv", "conv", (1, 1, 1, 1), kernel_shape=[1, 1], strides=[2, 2])
    layer = only(tiny(memories__sram__size="300 bits"), net)
    assert layer.read_bits["dram"] == 8 + 4 * 64
    assert layer.write_bits["dram"] == 4 * 4 * 8


def test_what_fits_no_tile_does_not_fit(tiny: Any) -> None:
    """The least tile, twice: one weight of 8 bits, an input row of 64 and an output row of 64."""
    net = Stored((1, 1, 8, 8)).conv("conv", 1, 1, 1)
    assert cost_of(tiny(memories__sram__size=f"{2 * (8 + 64 + 64)} bits"), net).fits
    assert not cost_of(tiny(memories__sram__size=f"{2 * (8 + 64 + 64) - 1} bits"), net).fits


# Where tensors stay ------------------------------------------------------------------------------------------------------------------


def two_layers() -> Stored:
    return Stored((1, 4, 8, 8)).conv("first", 4, 4, 1).conv("second", 4, 4, 1)


def test_a_tensor_that_just_stays_and_one_bit_more(tiny: Any) -> None:
    """Live at each layer: an input and an output of 2048 bits, and twice the weights of one output (4 x 8): 4096 + 64 = 4160 bits.

    At 4160 bits only the 2 x 128 weight bits pass the pins.  One bit less, and every tensor comes and goes.
    """
    kept, away = (cost_of(tiny(memories__sram__size=f"{bits} bits"), two_layers()) for bits in (4160, 4159))
    assert [(c.read_bits["dram"], c.write_bits["dram"]) for c in kept.layers[:2]] == [(128, 0), (128, 0)]
    assert [(c.read_bits["dram"], c.write_bits["dram"]) for c in away.layers[:2]] == [(128 + 2048, 2048), (128 + 2048, 2048)]
    assert kept.fits
    assert away.fits


def test_a_home_that_is_too_small(tiny: Any) -> None:
    """Weights 256 bits and live activations 4096 bits: 544 bytes of DRAM do, one less does not."""
    assert cost_of(tiny(memories__dram__size="544 B"), two_layers()).problems == ()
    problems = cost_of(tiny(memories__dram__size="543 B"), two_layers()).problems
    assert problems == ("weights and activations at layer 'first' need 544 bytes, dram has 543",)


def test_kept_weights_are_not_read_again(tiny: Any) -> None:
    """All weights (256 bits) beside all live activations (4096): 4352 bits keep them; one bit less reads them in every inference."""
    changed = {"memories__sram__keeps_weights": "true"}
    kept, read_again = (cost_of(tiny(memories__sram__size=f"{bits} bits", **changed), two_layers()) for bits in (4352, 4351))
    assert [c.read_bits["dram"] for c in kept.layers[:2]] == [0, 0]
    assert [c.read_bits["dram"] for c in read_again.layers[:2]] == [128, 128]


def test_sums_read_both_sides(tiny: Any) -> None:
    """On the vector unit: two operands of 256 numbers of 8 bits in, one out; at 1 a cycle 256 cycles."""
    net = Stored((1, 4, 8, 8))
    total = net.add("Add", "sum", (net.real("input"), net.real("input")))
    net.last = net.add("QuantizeLinear", "sum.quantize", (total, *net.grid("sum", 1.0, "int8")))
    layer = only(tiny(), net)
    assert (layer.unit, layer.macs) == ("alu", 0)
    assert layer.read_bits == {"sram": 2 * 2048, "dram": 0}
    assert layer.write_bits == {"sram": 2048, "dram": 0}
    assert layer.cycles == {"compute": 0, "vector": 256, "memory": 2, "overhead": 20}


# Other units and precisions ----------------------------------------------------------------------------------------------------------


def depthwise(channels: int) -> Stored:
    return Stored((1, channels, 4, 4)).conv("depthwise", channels, channels, 3, groups=channels)


def test_depthwise_uses_one_of_sixteen_multipliers(tiny: Any) -> None:
    """8 channels one after the other, 16 positions, 9 taps: 1152 steps for 1152 MACs.  An unrolling over 4 channels takes 288 steps."""
    layer = only(tiny(arrays__mac__runs="[conv, depthwise]"), depthwise(8))
    assert (layer.macs, layer.cycles["compute"], layer.utilisation) == (1152, 1152, 1 / 16)
    layer = only(tiny(arrays__mac__runs="[conv, depthwise]", arrays__mac__unroll="[{K: 4, C: 4}, {G: 4}]"), depthwise(8))
    assert (layer.cycles["compute"], layer.utilisation) == (288, 4 / 16)


def test_fallback_with_handover(tiny: Any) -> None:
    """Two depthwise layers in a row that the array does not take: each 4 x 16 x 9 = 576 MACs at 2 and 64 outputs at 1 a cycle: 352.

    The first pays the handover of 1 us = 100 cycles.  640 operations at 20 pJ.  Activations leave the chip: 512 bits in, 512 out, and
    36 weights of 8 bits in: 1312 / 32 = 41 cycles, hidden.
    """
    net = depthwise(4).conv("again", 4, 4, 3, groups=4).conv("back", 4, 4, 1)
    first, second, back, _ = cost_of(tiny(), net).layers
    assert [c.unit for c in (first, second, back)] == ["fallback", "fallback", "mac"]
    assert first.note == "on host: no array runs depthwise"
    assert first.cycles == {"compute": 352, "vector": 0, "memory": 12, "overhead": 20 + 100}
    assert second.cycles == {"compute": 352, "vector": 0, "memory": 12, "overhead": 20}
    assert first.energy_pj["fallback"] == 640 * 20
    assert (first.read_bits["dram"], first.write_bits["dram"]) == (512 + 288, 512)


def test_four_bit_weights_are_unpacked_for_an_eight_bit_array(tiny: Any) -> None:
    """Stored in 4 bits, multiplied as 8: 324 weights take 1296 bits and are unpacked once (an 8-bit add, 0.03 pJ) in 81 cycles."""
    layer = only(tiny(), Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3, bias=True, fmt="int4"))
    assert (layer.stored, layer.precision, layer.note) == ("w4a8", "w8a8", "promoted to w8a8")
    assert layer.weight_storage_bits == 324 * 4 + 6 * 32
    assert layer.actions["unpack"] == 324
    assert layer.energy_pj["unpack"] == round(324 * 0.03 * 1024) / 1024
    assert layer.energy_pj["mac"] == 2592
    assert layer.busy["alu"] == 75 + 81


def test_a_native_four_bit_array_does_not_unpack(tiny: Any) -> None:
    """Twice the rate: 450 cycles; multiply 4 x 8 0.1 pJ + 0.12."""
    layer = only(tiny(arrays__mac__rates="{w8a8: 1, w4a8: 2}"), Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3, fmt="int4"))
    assert (layer.precision, layer.note, layer.cycles["compute"]) == ("w4a8", "", 450)
    assert "unpack" not in layer.actions
    assert layer.energy_pj["mac"] == 8100 * 0.22


def test_promotion_takes_the_narrowest_that_holds(tiny: Any) -> None:
    """Not the fastest: so that fewer bits never add energy."""
    array = tiny(arrays__mac__rates="{w8a8: 4, w4a8: 1, w16a16: 8}").arrays["mac"]
    found = {p: carry(array, p) for p in ("w2a8", "w8a4", "w8a16", "w32a8")}
    assert {p: c and c.precision for p, c in found.items()} == {"w2a8": "w4a8", "w8a4": "w8a8", "w8a16": "w16a16", "w32a8": None}


def test_bit_serial_passes(tiny: Any) -> None:
    """2 weight bits and 4 activation bits a pass: w8a8 takes 4 x 2 passes, w3a8 2 x 2; the multiply is as wide as the operands."""
    chip = tiny(arrays__mac__serial="{weights: 2, activations: 4, most: 8}", arrays__mac__rates="{w16a16: 1}")
    layer = only(chip, Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3))
    assert (layer.cycles["compute"], layer.note) == (900 * 8, "8 passes")
    layer = only(chip, Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3, fmt="int3"))
    assert (layer.cycles["compute"], layer.note) == (900 * 4, "4 passes")
    assert layer.energy_pj["mac"] == round(8100 * (0.2 * 3 * 8 / 64 + 0.12) * 1024) / 1024
    assert "unpack" not in layer.actions
    assert layer.utilisation == 0.5625


def test_composed_multipliers_follow_bit_fusions_law() -> None:
    """pf = floor(8 / w) floor(8 / a) with widths rounded up to 2, 4 or 8 (Sharma et al., ISCA 2018); above 8 bits refused."""
    array = load_arch("bitfusion_16x32").arrays["fusion_units"]
    runs_as = {1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}
    for w in runs_as:
        for a in runs_as:
            carried = carry(array, f"w{w}a{a}")
            assert carried is not None
            assert (carried.rate, carried.precision) == ((8 // runs_as[w]) * (8 // runs_as[a]), f"w{runs_as[w]}a{runs_as[a]}")
    assert carry(array, "w9a8") is None


def real_matmul(weights: str) -> Graph:
    """4 rows of 8 float16 numbers times 8 x 4 weights, stored in `weights` or in float16."""
    net = Stored((4, 8), "float16")
    w = net.constant("w", np.ones((8, 4), np.float16 if weights == "float16" else np.int8), weights)
    if weights != "float16":
        scale = net.constant("w.scale", np.full((1, 4), 0.5, np.float16), "float16")
        w = net.add("DequantizeLinear", "w.real", (w, scale), axis=0, block_size=8)
    y = net.add("MatMul", "matmul", ("input", w))
    tensors = {**net.tensors, y: SourceTensor(y, "float16", (4, 4))}
    return read(SourceGraph("real", tuple(net.nodes), tensors, ("input",), (y,), "0", "onnxruntime", 21))


def test_float16(tiny: Any) -> None:
    """4 rows, 1 x 2 rounds of 4 outputs and channels: 8 steps at half a MAC a cycle: 16 cycles.  1.1 pJ to multiply, 0.9 to add."""
    chip = tiny(arrays__mac__rates="{w8a8: 1, fp16: 0.5}")
    layer = price(chip, lower(real_matmul("float16"), chip)).layers[0]
    assert (layer.unit, layer.stored, layer.precision, layer.macs) == ("mac", "fp16", "fp16", 4 * 8 * 4)
    assert layer.cycles["compute"] == 16
    assert layer.energy_pj["mac"] == 128 * 2.0
    assert layer.weight_storage_bits == 32 * 16


def test_stored_weights_and_float16_activations(tiny: Any) -> None:
    """w4fp16: 32 weights of 4 bits and 4 scales (priced as 32 bits each); every weight is made real once; multiplied as float16."""
    chip = tiny(arrays__mac__rates="{w8a8: 1, fp16: 0.5}")
    layer = price(chip, lower(real_matmul("int4"), chip)).layers[0]
    assert (layer.stored, layer.precision, layer.note) == ("w4fp16", "fp16", "unpacked")
    assert layer.actions["unpack"] == 32
    assert layer.weight_storage_bits == 32 * 4 + 4 * 32
    assert layer.energy_pj["mac"] == 128 * 2.0


def test_weights_with_a_zero_point_cost_a_sum_of_inputs(tiny: Any) -> None:
    """Spec Q03: the term z_w sum(x) is one 32-bit add for each input under a window, shared by the outputs: 25 x 6 x 9 = 1350 adds."""
    net = Stored((1, 6, 5, 5)).conv("conv", 6, 6, 3)
    net.tensors["conv.w.zero"] = SourceTensor("conv.w.zero", "int8", (), Constant.of(np.array(1, np.int8)))
    layer = only(tiny(quantization__weights="{formats: [int8]}"), net)
    assert layer.actions["zero_point"] == 1350
    assert layer.energy_pj["zero_point"] == 1350 * 0.12


# Prices ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def horowitz() -> Prices:
    return prices_of(load_arch("bitfusion_16x32"), load_costs("horowitz_45nm"), load_scaling())


def test_horowitz_points(horowitz: Prices) -> None:
    """ISSCC 2014: int8 multiply 0.2 pJ and int32 3.1; int8 add 0.03, int16 0.05, int32 0.1: the laws come within a quarter."""
    assert horowitz.factor == 1
    assert (horowitz.multiply(8, 8), horowitz.add(8)) == (0.2, 0.03)
    assert horowitz.multiply(32, 32) == pytest.approx(3.1, rel=0.04)
    assert horowitz.add(16) == pytest.approx(0.05, rel=0.25)
    assert horowitz.add(32) == pytest.approx(0.1, rel=0.25)
    assert horowitz.multiply(4, 8) == horowitz.multiply(8, 4) == 0.1
    assert horowitz.mac("fp16", 32) == 1.1 + 0.9
    assert horowitz.mac("fp32", 32) == 3.7 + 0.9
    assert horowitz.mac("w4fp16", 32) == 1.1 + 0.9


def sram(arch: Arch, size: str, banks: int = 1) -> Any:
    block = f"{{size: {size}, banks: {banks}, read: 1 B/cycle, write: 1 B/cycle, holds: [weights], assumed: test}}"
    return load_arch(arch.name, {"memories.wbuf": block}).memories["wbuf"]


def test_sram_law(horowitz: Prices) -> None:
    """64 bits cost 10, 20 and 100 pJ at 8 KiB, 32 KiB and 1 MiB; between them the logarithms go straight, beyond them as in the last piece.

    8 to 32 KiB doubles over a factor 4: 16 KiB costs sqrt(2) more than 8, 2 KiB half of 8.  32 KiB to 1 MiB is a factor 5 over 32:
    32 MiB costs 5 times 1 MiB.
    """
    arch = load_arch("bitfusion_16x32")
    wanted = {"8 KiB": 10, "32 KiB": 20, "1 MiB": 100, "16 KiB": 10 * sqrt(2), "2 KiB": 5, "32 MiB": 500}
    assert {size: horowitz.memory(sram(arch, size), "read", "wbuf") * 64 for size in wanted} == pytest.approx(wanted)
    assert horowitz.memory(sram(arch, "32 KiB", banks=4), "read", "wbuf") * 64 == pytest.approx(10)


def test_off_chip_prices_and_own_figures(horowitz: Prices) -> None:
    arch = load_arch("snpe_dsp")
    assert horowitz.memory(arch.memories["dram"], "read", "dram") == 6.0
    own = load_arch("bitfusion_16x32").memories["dram"]
    assert horowitz.memory(own, "write", "dram") == 15.0


def test_prices_scale_with_node_and_supply() -> None:
    """tensorrt_t4: 12 nm at 0.8 V from a table of 7 nm at 0.75 V, by the ratio of the gate energies, the 12 nm one between 14 and 10 nm."""
    scaling = load_scaling()
    prices = prices_of(load_arch("tensorrt_t4"), load_costs("jouppi_7nm"), scaling)
    fourteen, ten = (a * 0.64 + b * 0.8 + c for a, b, c in ((0.2363, -0.09675, 0.02239), (0.2068, -0.09311, 0.02375)))
    share = np.log(12 / 10) / np.log(14 / 10)
    here = ten ** (1 - share) * fourteen**share
    there = 0.1776 * 0.75**2 - 0.09097 * 0.75 + 0.02447
    assert prices.factor == pytest.approx(here / there, rel=1e-12)
    assert prices.multiply(8, 8) == pytest.approx(0.07 * here / there, rel=1e-12)
    assert gate_energy(scaling, 4, 0.75) == gate_energy(scaling, 7, 0.75)


def test_gate_energies_equal_stillmaker_and_baas() -> None:
    """Relative energies at 0.8, 0.9 and 1.0 V for every node of the published table."""
    scaling = load_scaling()
    with shared("silicon/stillmaker_baas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    for row in rows:
        for column in (c for c in row if c.startswith("E_factor_")):
            volts = float(column.removeprefix("E_factor_").removesuffix("V"))
            assert gate_energy(scaling, float(row["tech_nm"]), volts) == pytest.approx(float(row[column]), abs=5.1e-6)


def test_only_what_is_chosen_is_read(tiny: Any) -> None:
    """3 rows of 8 numbers of 32 bits, and 3 indices of 64 bits: 768 + 192 bits, not the 100 rows of the table.

    Of those 3 rows a box of 1 x 2 numbers: 64 bits.
    """
    from onnx import TensorProto, helper, numpy_helper

    from hwsim.io.onnx_model import source_of

    values = {"starts": np.array([1, 2]), "ends": np.array([2, 4]), "table": np.ones((100, 8), np.float32)}
    nodes = [helper.make_node("Gather", ["table", "rows"], ["y"], "pick"), helper.make_node("Slice", ["y", "starts", "ends"], ["z"], "box")]
    inputs = [helper.make_tensor_value_info("rows", TensorProto.INT64, [3])]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in values.items()])
    source = source_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "picks", "0" * 64)
    chip = tiny(vector__alu__real="1")
    pick, box = price(chip, lower(read(source), chip)).layers[:2]
    assert pick.read_bits["sram"] == 3 * 8 * 32 + 3 * 64
    assert box.read_bits["sram"] == 2 * 32


def test_narrow_products_wait_as_long_as_wide_ones() -> None:
    ne16, t4 = load_arch("gap9_ne16").arrays["ne16"], load_arch("t4").arrays["tensor_cores"]
    assert ne16.reached("conv", "w4a8") == ne16.reached("conv", "w8a8") == ne16.efficiency["w8a8"] < 1
    assert ne16.reached("conv", "w8a16") == 1, "nothing wider has a share"
    assert t4.reached("conv", "w4a4") == t4.efficiency["w4a4"] and t4.reached("conv", "w4a8") == t4.efficiency["w8a8"]
