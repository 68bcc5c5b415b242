"""Laws of the cost model and of execution, on random small networks and random variations of every preset chip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from math import prod

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.arch import Arch
from hwsim.cost import Cost, LayerCost, total
from hwsim.graph import Graph, SourceGraph
from hwsim.io.arch_yaml import load_arch, load_costs, presets
from hwsim.io.shipped import shipped_folder
from hwsim.shelf import load
from hwsim.simulate import price, simulate
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.levels import boundaries
from hwsim.steps.lower import lower
from hwsim.steps.place import FALLBACK, place
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read
from hwsim.topologies._net import Net

WEIGHTS, ACTIVATIONS = (2, 4, 8), (2, 4, 8, 16)
MAC_PARTS = ("mac", "register", "fallback")
DATAFLOWS = ("weight_stationary", "output_stationary", "input_stationary", "row_stationary", "none")
Draw = st.DrawFn
Overrides = dict[str, str]
Chip = tuple[str, Overrides]
Widths = tuple[int, int]


class Drawn:
    """A float network, shown in a failing example by its operators."""

    def __init__(self, source: SourceGraph) -> None:
        self.source = source

    def __repr__(self) -> str:
        shapes = {k: t.shape for k, t in read(self.source).tensors.items()}
        return "; ".join(f"{n.kind}{dict(n.attrs)} {[shapes[t] for t in n.inputs]}" for n in self.source.nodes)


@st.composite
def networks(draw: Draw) -> Drawn:
    """Up to four blocks of convolutions (dense, grouped, depthwise), pools, sums and concatenations, and mostly a linear layer behind."""
    net = Net("random", draw(st.integers(0, 99)))
    batch, channels = draw(st.sampled_from((1, 1, 2))), draw(st.sampled_from((1, 2, 3, 4, 8, 16)))
    x = net.input("input", (batch, channels, *draw(st.tuples(*[st.integers(3, 12)] * 2))))
    for _ in range(draw(st.integers(1, 4))):
        x = draw(st.sampled_from((_dense, _dense, _depthwise, _grouped, _pool, _sum, _branches)))(draw, net, x)
    if draw(st.booleans()):
        return Drawn(fold_batch_norm(net.finish(net.classify(x, draw(st.sampled_from((2, 10, 33)))))))
    return Drawn(fold_batch_norm(net.finish(net.conv(x, draw(st.sampled_from((1, 3, 8))), 1, bias=True))))


KERNELS: st.SearchStrategy[int | tuple[int, int]] = st.sampled_from((1, 3, (1, 3), (3, 1), 5))
STRIDES = st.sampled_from((1, 1, 2))


def _dense(draw: Draw, net: Net, x: str) -> str:
    channels, act = draw(st.sampled_from((1, 2, 5, 8, 16, 24, 64))), draw(st.sampled_from(("Relu", "Relu6", None)))
    return net.conv_bn(x, channels, draw(KERNELS), draw(STRIDES), act=act)


def _depthwise(draw: Draw, net: Net, x: str) -> str:
    return net.conv_bn(x, net.shapes[x][1], draw(KERNELS), draw(STRIDES), groups=net.shapes[x][1])


def _grouped(draw: Draw, net: Net, x: str) -> str:
    return net.conv(x, draw(st.sampled_from((2, 4, 8, 16))), draw(KERNELS), draw(STRIDES), groups=2 - net.shapes[x][1] % 2, bias=True)


def _pool(draw: Draw, net: Net, x: str) -> str:
    if min(net.shapes[x][2:]) < 2:
        return net.relu(x)
    return net.max_pool(x, 2, draw(st.sampled_from((1, 2)))) if draw(st.booleans()) else net.avg_pool(x, 2, 2)


def _sum(draw: Draw, net: Net, x: str) -> str:
    return net.relu(net.add(x, net.conv_bn(x, net.shapes[x][1], 3, act=None)))


def _branches(draw: Draw, net: Net, x: str) -> str:
    return net.concat([net.conv_bn(x, 4, 1), net.conv_bn(x, 8, 3)])


@st.composite
def chips(draw: Draw) -> Chip:
    """A preset with memories of any size (small enough that tiles matter), other buffers, transfers and dataflow."""
    name = draw(st.sampled_from(presets()))
    arch, changed = load_arch(name), {}
    for memory, spec in arch.memories.items():
        if spec.size is not None and draw(st.integers(0, 3)):
            changed[f"memories.{memory}.size"] = f"{(8 << draw(st.integers(6, 17))) + draw(st.integers(0, 64))} bits"
        for field in ("double_buffered", "keeps_weights"):
            if not draw(st.integers(0, 4)):
                changed[f"memories.{memory}.{field}"] = draw(st.sampled_from(("true", "false")))
    for array in arch.arrays:
        if draw(st.booleans()):
            changed[f"arrays.{array}.dataflow"] = draw(st.sampled_from(DATAFLOWS))
    if not draw(st.integers(0, 2)):
        changed["cascades"] = draw(st.sampled_from(("[depthwise+pointwise]", "[pointwise+depthwise, depthwise+pointwise]", "[conv+conv]")))
    if draw(st.booleans()):
        changed |= {"dma.setup": f"{draw(st.integers(0, 200))} cycles", "dma.channels": str(draw(st.integers(1, 4)))}
    if draw(st.booleans()):
        changed[f"vector.{next(iter(arch.vector))}.overlaps"] = draw(st.sampled_from(("true", "false")))
    return name, changed


CHIPS, NETWORKS = chips(), networks()
WIDTHS = st.tuples(st.sampled_from(WEIGHTS), st.sampled_from(ACTIVATIONS))


def quantized(arch: Arch, net: Drawn, widths: Widths) -> Graph:
    """The network by the chip's own rules, if the chip has a place for it.  What it costs does not depend on the ranges: any will do."""
    floats = read(net.source)
    ranges = {t: (-1.3 if i % 2 else 0.0, 2.0) for i, t in enumerate(floats.tensors)}
    graph = read(quantize(net.source, arch.quantization, "w{}a{}".format(*widths), ranges))
    if arch.fallback is None and any(p.unit == FALLBACK for p in place(arch, graph)):
        assume(False)
    return graph


def runs(arch: Arch, widths: Widths) -> bool:
    """Whether the chip has a place for everything: those without a fallback stop at 8 bits."""
    return arch.fallback is not None or widths[1] <= 8


def cost_of(arch: Arch, net: Drawn, widths: Widths) -> Cost:
    return price(arch, lower(quantized(arch, net, widths), arch))


def off_chip(arch: Arch, layer: LayerCost) -> int:
    return sum(layer.read_bits.get(m, 0) + layer.write_bits.get(m, 0) for m, spec in arch.memories.items() if not spec.on_chip)


def outer_bits(arch: Arch, cost: Cost) -> int:
    """Traffic of the memories beyond the outermost boundary: off-chip ones where a chip has them."""
    levels = boundaries(arch)
    outermost = {outer for _, outer in levels[0].values()} if levels else {m for m, spec in arch.memories.items() if not spec.on_chip}
    return sum(layer.read_bits.get(m, 0) + layer.write_bits.get(m, 0) for layer in cost.layers for m in outermost)


def mac_pj(cost: Cost) -> float:
    return sum(layer.energy_pj.get(part, 0) for layer in cost.layers for part in MAC_PARTS)


@given(NETWORKS, CHIPS, WIDTHS, WIDTHS)
def test_fewer_bits_never_add_storage_traffic_or_mac_energy(net: Drawn, chip: Chip, a: Widths, b: Widths) -> None:
    arch = load_arch(*chip)
    few, many = (min(a[0], b[0]), min(a[1], b[1])), (max(a[0], b[0]), max(a[1], b[1]))
    assume(few != many and runs(arch, many))
    narrow, wide = cost_of(arch, net, few), cost_of(arch, net, many)
    assert narrow.weight_bytes <= wide.weight_bytes
    assert sum(off_chip(arch, c) for c in narrow.layers) <= sum(off_chip(arch, c) for c in wide.layers)
    assert outer_bits(arch, narrow) <= outer_bits(arch, wide)
    assert mac_pj(narrow) <= mac_pj(wide)
    if [c.unit for c in narrow.layers] == [c.unit for c in wide.layers]:
        for n, w in zip(narrow.layers, wide.layers, strict=True):
            assert off_chip(arch, n) <= off_chip(arch, w)
            assert n.energy_pj.get("mac", 0) <= w.energy_pj.get("mac", 0)


@given(NETWORKS, CHIPS, WIDTHS, st.data())
def test_a_larger_memory_never_adds_outer_traffic(net: Drawn, chip: Chip, widths: Widths, data: st.DataObject) -> None:
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    memory = data.draw(st.sampled_from([m for m, spec in arch.memories.items() if spec.size is not None]))
    larger = int((arch.memories[memory].size or 0) * data.draw(st.sampled_from((1.02, 1.5, 2, 16))))
    grown = load_arch(chip[0], {**chip[1], f"memories.{memory}.size": f"{larger} bits"})
    small, large = cost_of(arch, net, widths), cost_of(grown, net, widths)
    assert outer_bits(grown, large) <= outer_bits(arch, small)
    assert sum(off_chip(grown, c) for c in large.layers) <= sum(off_chip(arch, c) for c in small.layers)


@given(NETWORKS, CHIPS, WIDTHS, st.data())
def test_more_bandwidth_is_never_slower(net: Drawn, chip: Chip, widths: Widths, data: st.DataObject) -> None:
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    memory, port = data.draw(st.sampled_from(list(arch.memories))), data.draw(st.sampled_from(("read", "write")))
    rate = getattr(arch.memories[memory], port)
    more = rate.amount * data.draw(st.sampled_from((1.01, 2, 50)))
    faster = load_arch(chip[0], {**chip[1], f"memories.{memory}.{port}": f"{more} bits/{'s' if rate.per_second else 'cycle'}"})
    for slow, fast in zip(cost_of(arch, net, widths).layers, cost_of(faster, net, widths).layers, strict=True):
        assert fast.total_cycles <= slow.total_cycles


@given(NETWORKS, CHIPS, WIDTHS)
def test_parts_add_up_exactly(net: Drawn, chip: Chip, widths: Widths) -> None:
    """Floating-point sums too: energies lie on a grid, so that they are exact in every order."""
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    result = simulate(arch, quantized(arch, net, widths))
    layers = result.cost.layers
    assert all(sum(c.cycles.values()) == c.total_cycles for c in layers)
    assert sum(c.total_cycles for c in layers) == result.cost.cycles == sum(result.cycle_parts.values()) == result.timeline[-1].end
    assert all(sum(reversed(list(c.energy_pj.values()))) == c.total_pj for c in layers)
    assert sum(c.total_pj for c in layers) == result.cost.energy_pj == sum(result.energy_parts_pj.values())
    assert total(c.energy_pj for c in reversed(layers)) == result.energy_parts_pj
    data = json.loads(result.to_json())
    assert data["cycles"] == sum(row["cycles"] for row in data["layers"]) == sum(sum(row["cycle_parts"].values()) for row in data["layers"])
    assert all(sum(row["energy_parts_pj"].values()) == row["energy_pj"] for row in data["layers"])
    assert data["energy_j"] == sum(row["energy_pj"] for row in data["layers"]) * 1e-12 == sum(data["energy_parts_pj"].values()) * 1e-12
    assert data["macs"] == sum(row["macs"] for row in data["layers"])
    for memory, both in data["traffic_bytes"].items():
        for direction in ("read", "write"):
            bits = sum(getattr(c, f"{direction}_bits").get(memory, 0) for c in layers)
            assert both[direction] == -(-bits // 8)


@given(NETWORKS, CHIPS, WIDTHS)
def test_macs_are_the_graphs_own(net: Drawn, chip: Chip, widths: Widths) -> None:
    """Whatever the chip, its mapping and the widths."""
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    graph = read(net.source)
    counted = sum(_macs(graph, n.name) for n in graph.nodes)
    assert cost_of(arch, net, widths).macs == counted


def _macs(graph: Graph, name: str) -> int:
    """By hand: elements of the output times the products of each."""
    node = next(n for n in graph.nodes if n.name == name)
    if not hasattr(load("ops", node.op), "loops"):
        return 0
    weights, y = graph.tensors[node.inputs[1]].shape, graph.tensors[node.outputs[0]]
    return y.elements * (prod(weights[1:]) if node.op == "conv" else weights[1 if node.attrs["trans_b"] else 0])


@given(NETWORKS, CHIPS, WIDTHS)
def test_nothing_is_faster_than_the_roofline(net: Drawn, chip: Chip, widths: Widths) -> None:
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    result = simulate(arch, quantized(arch, net, widths))
    assert 0 <= result.mac_utilisation <= 1
    for c in result.cost.layers:
        assert 0 <= c.utilisation <= 1
        if c.unit in arch.arrays and c.macs:
            assert c.total_cycles >= c.macs / (arch.arrays[c.unit].multipliers * c.rate)
        if arch.dma.stages is None:
            assert c.total_cycles >= port_cycles(arch, [c])
    assert result.cost.cycles >= port_cycles(arch, result.cost.layers)


def port_cycles(arch: Arch, layers: Sequence[LayerCost]) -> float:
    """Of the busiest memory during some layers."""
    busy = []
    for name, spec in arch.memories.items():
        read = sum(c.read_bits.get(name, 0) for c in layers) / spec.read.per_cycle(arch.clock_hz)
        write = sum(c.write_bits.get(name, 0) for c in layers) / spec.write.per_cycle(arch.clock_hz)
        busy.append(max(read, write) if spec.on_chip and not spec.one_port else read + write)
    return max(busy)


@cache
def energy_tables() -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in (shipped_folder("archs") / "costs").glob("*.yaml")))


def repriced(name: str, arch: Arch, factor: float) -> Overrides:
    """Other numbers for all that costs time or energy."""
    changed = {
        "clock.frequency": f"{arch.clock_hz * factor} Hz",
        "process.node": "90 nm",
        "process.voltage": "1.3 V",
        "energy.table": next(t for t in energy_tables() if t != arch.energy.table),
        "energy.leakage": "3 W",
        "overheads.per_inference": "7 us",
        "overheads.per_layer": "9 us",
        "dma.setup": "77 cycles",
        "dma.channels": "3",
    }
    for memory in arch.memories:
        changed |= {
            f"memories.{memory}.{k}": v
            for k, v in (
                ("read", "5 B/cycle"),
                ("write", "3 B/cycle"),
                ("latency", "41 cycles"),
                ("banks", "2"),
                ("read_energy", "9 pJ/bit"),
                ("write_energy", "8 pJ/bit"),
            )
        }
        changed |= {
            f"memories.{memory}.size": "3000 bits",
            f"memories.{memory}.double_buffered": "false",
            f"memories.{memory}.keeps_weights": "true",
        }
    for array, spec in arch.arrays.items():
        changed |= {f"arrays.{array}.unroll": "[{K: 3, OX: 2}]", f"arrays.{array}.dataflow": "none"}
        changed |= {f"arrays.{array}.rates.{p}": f"{r * factor:f}" for p, r in spec.rates.items()}
    for unit, vector in arch.vector.items():
        changed |= {
            f"vector.{unit}.wide": "0.25",
            f"vector.{unit}.real": "0.125" if vector.real else "0.0",
            f"vector.{unit}.rates": "{default: 3 /cycle}",
        }
    if arch.fallback is not None:
        changed |= {
            "fallback.macs": "1 /cycle",
            "fallback.elements": "2 /cycle",
            "fallback.handover": "3 us",
            "fallback.energy_per_op": "5 pJ",
        }
    load_costs(changed["energy.table"])
    return changed


@given(NETWORKS, st.sampled_from(presets()), WIDTHS, st.sampled_from((0.25, 3.0)), st.integers(0, 9))
def test_execution_does_not_depend_on_costs(net: Drawn, name: str, widths: Widths, factor: float, seed: int) -> None:
    arch = load_arch(name)
    assume(runs(arch, widths))
    other = load_arch(name, repriced(name, arch, factor))
    floats = read(net.source)
    x = floats.tensors[floats.inputs[0]]
    feeds = {x.name: np.random.default_rng(seed).standard_normal(x.shape, np.float32)}
    graph = read(quantize(net.source, arch.quantization, "w{}a{}".format(*widths), ranges_of(floats, [feeds])))
    first, second = (execute(lower(graph, a), feeds, all_tensors=True, engine="reference").tensors for a in (arch, other))
    assert first.keys() == second.keys()
    for tensor, array in first.items():
        np.testing.assert_array_equal(array, second[tensor], err_msg=tensor)


@given(NETWORKS, CHIPS, WIDTHS)
def test_same_input_same_bytes(net: Drawn, chip: Chip, widths: Widths) -> None:
    arch = load_arch(*chip)
    assume(runs(arch, widths))
    first, second = (simulate(load_arch(*chip), quantized(arch, net, widths)).to_json() for _ in range(2))
    assert first == second
