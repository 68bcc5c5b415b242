"""Runs in events against examples worked by hand, against the analytical model, and against themselves without skipping.

The tiny chip is that of tests/test_cost.py: 16 multipliers, 100 MHz, SRAM with 32 B read and 8 B written a cycle, DRAM with 4 B a cycle.
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings

from hwsim import estimate, load_model
from hwsim.arch import Arch
from hwsim.building import network_to_price
from hwsim.errors import HwsimError
from hwsim.graph import Graph, SourceGraph
from hwsim.io.arch_yaml import load_arch, presets
from hwsim.io.trace import to_chrome
from hwsim.simulate import lay_out, simulate
from hwsim.steps import event
from hwsim.steps.estimate import estimate as price_mapped
from hwsim.steps.fidelity import play_program
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import lower
from hwsim.steps.place import FALLBACK, place
from hwsim.topologies._net import Net
from hwsim.trace import Trace
from tests.data import WORKLOADS
from tests.test_cost import TINY, Stored
from tests.test_laws import CHIPS, NETWORKS, Chip, Drawn, quantized


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """The tiny chip with fields changed."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return lambda **changed: load_arch(file, {k.replace("__", "."): v for k, v in changed.items()})


def played(arch: Arch, graph: Graph, contention: bool = True) -> Trace:
    program = lower(graph, arch)
    laid = lay_out(arch, program)
    cost = price_mapped(program, arch, laid.mappings, laid.residency, laid.prices)
    return play_program(program, arch, laid.mappings, cost, contention)


# By hand -----------------------------------------------------------------------------------------------------------------------------

QUICK = {
    "memories__sram__size": "2304 bits",
    "memories__sram__latency": "0 cycles",
    "memories__dram__latency": "0 cycles",
    "memories__dram__read": "16 B/cycle",
    "memories__dram__write": "16 B/cycle",
    "vector__alu__rates": "{default: 4 /cycle, requantize: 8 /cycle}",
    "dma__setup": "0 cycles",
}


def pointwise() -> Graph:
    """4 channels to 4 on 8 x 8, in four tiles of two rows: 128 bits of weights once, and 512 of inputs and 512 of outputs a tile."""
    return Stored((1, 4, 8, 8)).conv("conv", 4, 4, 1).graph()


def spans(trace: Trace, unit: str) -> list[tuple[str, float, float]]:
    return [(s.work, s.start, s.end) for s in trace.spans if s.unit == unit]


def test_tiles_one_by_one(tiny: Any) -> None:
    """The host issues for 20 cycles.  Weights pass DRAM's 128 bits a cycle in 1 cycle and SRAM's 64 in 2; the first inputs SRAM in 8
    more: at 30 the array begins.  Its 16 pieces of 4 cycles never wait, for a tile of 16 cycles loads in 8.  The last piece, done at 94,
    is requantized in 16 / 8 = 2 cycles and leaves in 128 / 128 = 1."""
    trace = played(tiny(**QUICK), pointwise())
    assert trace.layers == (("conv", 0, 97), ("(inference)", 97, 197))
    assert spans(trace, "host") == [("issue", 0, 20), ("overhead", 97, 197)]
    assert spans(trace, "mac") == [("compute", 30, 94)]
    assert spans(trace, "dram")[:2] == [("load weights", 20, 21), ("load inputs", 21, 29)]
    assert spans(trace, "alu")[0] == ("finish", 34, 36) and spans(trace, "alu")[-1] == ("finish", 94, 96)
    assert spans(trace, "dram")[-1] == ("store", 96, 97)


def test_bounds_by_hand(tiny: Any) -> None:
    """At best 20 + 64 of the array; the end of the inference takes 100 more in any case.

    One after the other: 20 + 64 + 16 x 2 = 116; weights 1 + 2, inputs 4 x (4 + 8); every piece reads 640 bits at 256 and writes 128 at 64
    a cycle, 2.5 + 2, and leaves in 0.5 + 1: 16 x 6 = 96.
    """
    trace = played(tiny(**QUICK), pointwise())
    assert (trace.roofline, trace.serial) == (20 + 64 + 100, 116 + 3 + 48 + 96 + 100)


def test_a_slow_dram_makes_the_array_wait(tiny: Any) -> None:
    """At 32 bits a cycle weights take 4 and every tile 16 cycles.  Two tiles load until 56; what is done meanwhile waits to leave, and
    tiles three (60 to 76) and four (80 to 96) come between the first stores; the other 14 pieces leave one after the other until 152."""
    slow = {**QUICK, "memories__dram__read": "4 B/cycle", "memories__dram__write": "4 B/cycle"}
    trace = played(tiny(**slow), pointwise())
    assert trace.layers[0] == ("conv", 0, 152)
    assert spans(trace, "mac") == [("compute", 40, 72), ("compute", 76, 84), ("compute", 100, 124)]
    assert spans(trace, "dram")[-1] == ("store", 96, 152)


def test_one_buffer_loads_while_nothing_works(tiny: Any) -> None:
    """The SRAM holds one tile: 1280 bits for the same tiles.  The next inputs come when a tile of 16 cycles is worked off: 8 cycles."""
    single = {**QUICK, "memories__sram__double_buffered": "false", "memories__sram__size": "1152 bits"}
    trace = played(tiny(**single), pointwise())
    assert spans(trace, "mac") == [("compute", 30, 46), ("compute", 54, 70), ("compute", 78, 94), ("compute", 102, 118)]
    assert trace.layers[0] == ("conv", 0, 121)


def test_rows_that_must_be_opened(tiny: Any) -> None:
    """The chip keeps channels apart: two rows of a tile are 128 bits side by side in each of 4 channels, so 4 rows open a tile, for 10
    cycles each; results leave in the same runs.  Weights open one.  4 x 4 rows in and out and 1 of 33 accesses of 128 bits: none hits."""
    rows = {**QUICK, "memories__dram__row": "1 KiB", "memories__dram__row_miss": "10 cycles", "memories__dram__burst": "16 B"}
    trace = played(tiny(**rows), pointwise())
    assert spans(trace, "dram")[:2] == [("load weights", 20, 31), ("load inputs", 31, 31 + 2 * (4 + 40))]
    assert trace.row_hits == {"dram": 0.0}
    hits = played(tiny(**{**rows, "channels_last": "true"}), pointwise())
    assert spans(hits, "dram")[1] == ("load inputs", 31, 31 + 2 * (4 + 10))  # one run of 512 bits: one row, and 3 of 4 accesses hit
    assert played(tiny(**rows, memories__dram__banks="11"), pointwise()).layers[0] == ("conv", 0, 97)  # opened beside ten others


def test_short_bursts_are_whole(tiny: Any) -> None:
    """A channel's 128 bits take a burst of 256: twice the time."""
    trace = played(tiny(**QUICK, memories__dram__burst="32 B"), pointwise())
    assert spans(trace, "dram")[:2] == [("load weights", 20, 22), ("load inputs", 22, 22 + 2 * 8)]


def test_reads_and_writes_of_one_bank_collide(tiny: Any) -> None:
    """With one bank of one port a piece's reads (2.5 cycles) keep its writes (2) waiting: 4.5 cycles for a piece of 4."""
    two = played(tiny(**QUICK, memories__sram__bank_ports="1", memories__sram__banks="1000000"), pointwise())
    one = played(tiny(**QUICK, memories__sram__bank_ports="1"), pointwise())
    assert two.layers[0] == ("conv", 0, 97)
    assert one.layers[0][2] >= 30 + 16 * 4.5


def test_a_bus_carries_one_at_a_time(tiny: Any) -> None:
    """SRAM and DRAM on one bus of 64 bits a cycle: weights take 2 x 128 / 64 = 4 cycles, the first inputs 16 more; work begins at 40."""
    bus = {"buses": "{axi: {rate: 8 B/cycle, joins: [sram, dram], assumed: made up}}"}
    trace = played(tiny(**QUICK, **bus), pointwise())
    assert spans(trace, "axi")[:2] == [("load weights", 20, 24), ("load inputs", 24, 56)]
    assert spans(trace, "mac")[0][1] == 40


def test_cores_share_the_port_that_feeds_them(tmp_path: Path) -> None:
    """Four cores, each with a quarter of a piece's operands: fed one after the other, so that the last begins after the first."""
    arch = load_arch("tensorrt_t4", {"arrays.tensor_cores.cores": "4", "memories.smem.read": "64 B/cycle"})
    trace = played(arch, quantized(arch, Drawn(_dense_net()), (8, 8)))
    cores = {s.unit for s in trace.spans if s.unit.startswith("tensor_cores")}
    assert cores == {f"tensor_cores {k}" for k in range(4)}
    ends = [max(s.end for s in trace.spans if s.unit == f"tensor_cores {k}") for k in range(4)]
    assert ends == sorted(ends) and ends[0] < ends[3]


def _dense_net() -> SourceGraph:
    net = Net("dense", 0)
    return fold_batch_norm(net.finish(net.conv_bn(net.input("input", (1, 32, 16, 16)), 64, 3)))


# Against the analytical model ----------------------------------------------------------------------------------------------------------


def compare(arch: Arch, graph: Graph) -> None:
    """Without contention within 2 %, layer by layer, of what the analytical model says; with it, between the bounds."""
    program = lower(graph, arch)
    laid = lay_out(arch, program)
    cost = price_mapped(program, arch, laid.mappings, laid.residency, laid.prices)
    ideal, trace = (play_program(program, arch, laid.mappings, cost, contention) for contention in (False, True))
    assert ideal.cycles == pytest.approx(cost.cycles, rel=0.02)
    for row, (_, start, end) in zip(cost.layers, ideal.layers, strict=True):
        assert end - start == pytest.approx(row.total_cycles, rel=0.02, abs=4)
    assert trace.roofline <= trace.cycles <= ceil(trace.serial) + len(trace.layers)


def blocks() -> SourceGraph:
    """A stem, a pool, a sum, branches of 1x1 and 3x3, a wide layer and a linear one."""
    net = Net("blocks", 0)
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, 64, 64)), 32, 5, 2), 2, 2)
    x = net.relu(net.add(x, net.conv_bn(net.conv_bn(x, 32, 3), 32, 3, act=None)))
    x = net.concat([net.conv_bn(x, 48, 1), net.conv_bn(x, 80, 3)])
    return fold_batch_norm(net.finish(net.classify(net.conv_bn(x, 512, 3, 2), 100)))


@pytest.mark.parametrize("name", presets())
def test_without_contention_it_is_the_analytical_model(name: str) -> None:
    arch = load_arch(name)
    compare(arch, quantized(arch, Drawn(blocks()), (8, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mobilenet_v2", "vit_b_16"])
@pytest.mark.parametrize("name", presets())
def test_without_contention_on_more_networks(name: str, network: str) -> None:
    arch = load_arch(name)
    graph = network_to_price(network, "w8a8", rules=arch.quantization)
    if arch.fallback is None and any(p.unit == FALLBACK for p in place(arch, graph)):
        pytest.skip(f"{name} has no place for all of {network}")
    compare(arch, graph)


@settings(max_examples=25)
@given(NETWORKS, CHIPS)
def test_between_the_roofline_and_one_after_the_other(net: Drawn, chip: Chip) -> None:
    arch = load_arch(*chip)
    assume(arch.fallback is not None)
    trace = played(arch, quantized(arch, net, (8, 8)))
    assert trace.roofline <= trace.cycles <= ceil(trace.serial) + len(trace.layers)
    for a, b in zip(trace.layers, trace.layers[1:], strict=False):
        assert a[2] == b[1]


@settings(max_examples=15)
@given(NETWORKS, CHIPS)
def test_skipped_periods_are_exact(net: Drawn, chip: Chip) -> None:
    """The same layers, and every unit as busy with as many bits, as when every single piece is played."""
    arch = load_arch(*chip)
    assume(arch.fallback is not None)
    graph = quantized(arch, net, (8, 8))
    quick = played(arch, graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event.Run, "skip", lambda self, done: None)
        whole = played(arch, graph)
    assert quick.layers == whole.layers
    for unit in {s.unit for s in whole.spans}:
        assert quick.busy(unit) == pytest.approx(whole.busy(unit))
        moved = [sum(s.bits for s in t.spans if s.unit == unit) for t in (quick, whole)]
        assert moved[0] == pytest.approx(moved[1])


# What users see ------------------------------------------------------------------------------------------------------------------------


def test_rows_have_the_times_of_the_run(tiny: Any) -> None:
    """Layers take as long as they did on the machine, parts add up, and leakage lasts as long."""
    result = simulate(tiny(**QUICK), pointwise(), fidelity="event")
    row = result.cost.layers[0]
    assert row.cycles == {"compute": 64, "vector": 0, "memory": 97 - 84, "overhead": 20}
    assert row.energy_pj["leakage"] == 97 * 100
    assert [(s.name, s.start, s.end) for s in result.timeline] == [("conv", 0, 97), ("(inference)", 97, 197)]
    told = json.loads(result.to_json())
    assert (told["fidelity"], told["roofline_cycles"], told["cycles"]) == ("event", 184, 197)
    assert told["unit_busy_cycles"]["mac"] == 64


def test_trace_for_perfetto(tiny: Any) -> None:
    """Complete events in microseconds on named tracks that do not overlap within a track, and counters that integrate to what moved."""
    result = simulate(tiny(**QUICK), pointwise(), fidelity="event")
    events = json.loads(to_chrome(result))["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"layers", "host", "mac", "alu", "dram", "sram read", "sram write"} <= set(tracks.values())
    work = {name: [e for e in events if e["ph"] == "X" and tracks[e["tid"]] == name] for name in tracks.values()}
    assert [(e["name"], e["ts"], e["dur"]) for e in work["mac"]] == [("conv: compute", 0.3, 0.64)]
    assert all(no_overlap(found) for found in work.values())
    points = [e for e in events if e["ph"] == "C" and e["name"] == "dram [GB/s]"]
    step = points[1]["ts"] - points[0]["ts"]
    assert sum(e["args"]["moved"] for e in points) * step * 1e3 == pytest.approx((128 + 2048 + 2048) / 8, rel=1e-3)


def no_overlap(events: list[dict[str, Any]]) -> bool:
    """In whole nanoseconds, which is what viewers count: of two events that overlap in a track they drop one."""
    spans = [(round(e["ts"] * 1e3), round((e["ts"] + e["dur"]) * 1e3)) for e in events]
    assert all(abs(t - 1e3 * e["ts"]) < 1e-6 for (t, _), e in zip(spans, events, strict=True))
    return all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_work_that_takes_turns_on_a_unit_has_tracks_of_its_own() -> None:
    """Stores and loads of weights share a port for a steady while: neither may be lost to a viewer."""
    network = load_model(str(WORKLOADS / "digits_resnet_w8a8.onnx"))
    result = simulate(load_arch("snpe_dsp"), network, fidelity="event")
    events = json.loads(to_chrome(result))["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert "l2 write (2)" in tracks.values()
    for tid in tracks:
        assert no_overlap([e for e in events if e["ph"] == "X" and e["tid"] == tid])
    assert result.trace is not None
    assert sum(e["ph"] == "X" and e["tid"] > 1 for e in events) == len(result.trace.spans)


def test_fidelity_must_be_known(tiny: Any) -> None:
    with pytest.raises(HwsimError, match="fidelity: must be one of analytical, event, not 'events'; did you mean 'event'"):
        estimate(tiny(), pointwise(), fidelity="events")
