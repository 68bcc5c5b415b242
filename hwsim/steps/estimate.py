"""What the mapped Program costs: cycles from units that overlap where the chip lets them, energy from counted actions and prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from hwsim import formats
from hwsim.arch import Arch, MacArray, parse_precision
from hwsim.cost import Cost, LayerCost, Priced
from hwsim.graph import Tensor
from hwsim.mapping import Mapping
from hwsim.program import Layer, Program
from hwsim.shelf import load
from hwsim.steps.energy import by_part, layer_energy, time_energy
from hwsim.steps.place import FALLBACK, FREE, layer_kind
from hwsim.steps.ports import port_cycles
from hwsim.steps.prices import Prices
from hwsim.steps.residency import Residency, storage_bits, weight_bits
from hwsim.steps.vector_time import step_work, vector_cycles
from hwsim.units import Rate

__all__ = ["appraiser", "energy_lines", "estimate", "latency_s"]


@dataclass(frozen=True)
class Chip:
    """A chip with its prices at hand."""

    arch: Arch
    prices: Prices

    def cycles(self, duration: Rate) -> float:
        return duration.cycles(self.arch.clock_hz)


def estimate(program: Program, arch: Arch, mappings: list[Mapping], residency: Residency, prices: Prices) -> Cost:
    """The cost of one inference.  The overhead of an inference is a row of its own, so that rows add up to the total exactly."""
    chip = Chip(arch, prices)
    parts = zip(program.layers, mappings, residency.live_bits, _switches(program), strict=True)
    rows = [_layer_cost(chip, layer, m, live, switches) for layer, m, live, switches in parts]
    start = _start_cycles(chip, program)
    if start:
        rows.append(_overhead_row(chip, start))
    return Cost(arch.clock_hz, tuple(rows), residency.problems)


def energy_lines(arch: Arch, prices: Prices, layer: Layer, mapping: Mapping, cycles: int) -> list[Priced]:
    """A layer's energy, action by action; they add up to its row."""
    work = _work(Chip(arch, prices), layer, mapping)
    return _lines(Chip(arch, prices), layer, mapping, _actions(layer, mapping, work), work, cycles)


def _lines(chip: Chip, layer: Layer, mapping: Mapping, actions: dict[str, int], work: dict[str, int], cycles: int) -> list[Priced]:
    return [*layer_energy(chip.arch, chip.prices, layer, mapping, actions, work), *time_energy(chip.arch, chip.prices, cycles)]


def appraiser(arch: Arch, prices: Prices) -> Callable[[Layer, Mapping], tuple[int, float]]:
    """What one layer costs in cycles and pJ as it is mapped, by the very model that prices the network."""
    chip = Chip(arch, prices)

    def appraise(layer: Layer, mapping: Mapping) -> tuple[int, float]:
        row = _layer_cost(chip, layer, mapping, 0, False)
        return row.total_cycles, row.total_pj

    return appraise


def _start_cycles(chip: Chip, program: Program) -> int:
    """Start and end of one inference: of the precision in which most MACs run, with what the host converts or copies."""
    overheads = chip.arch.overheads
    macs: dict[str, int] = {}
    for layer in program.layers:
        if layer.loops is not None:
            macs[layer.precision] = macs.get(layer.precision, 0) + layer.loops.macs
    most = max(macs, key=lambda p: macs[p], default="")
    start = chip.cycles(overheads.by_precision.get(most, overheads.per_inference))
    if overheads.conversion is not None:
        ends = sum(storage_bits(program.tensors[t]) for t in (*program.graph.inputs, *program.graph.outputs))
        start += ends / overheads.conversion.per_cycle(chip.arch.clock_hz)
    return ceil(start)


def latency_s(program: Program, arch: Arch, mappings: list[Mapping], prices: Prices, whole: bool = True) -> float:
    """The time of one inference alone, or of its layers without its start and end: what `estimate` says, without rows and energies."""
    chip, cycles = Chip(arch, prices), 0
    for layer, mapping, switches in zip(program.layers, mappings, _switches(program), strict=True):
        cycles += sum(_cycles(chip, layer, mapping, _busy_units(chip, layer, mapping, _work(chip, layer, mapping)), switches).values())
    return (cycles + (_start_cycles(chip, program) if whole else 0)) / arch.clock_hz


def _switches(program: Program) -> list[bool]:
    """Whether each layer is the first of its kind on the fallback."""
    found, before = [], ""
    for layer in program.layers:
        found.append(layer.unit == FALLBACK != before)
        before = layer.unit or before
    return found


def _work(chip: Chip, layer: Layer, mapping: Mapping) -> dict[str, int]:
    return _vector_work(chip.arch, layer, mapping) if layer.unit != FREE else {}


def _busy_units(chip: Chip, layer: Layer, mapping: Mapping, work: dict[str, int]) -> dict[str, int]:
    return _busy(chip, layer, mapping, work) if layer.unit != FREE else {}


def _overhead_row(chip: Chip, cycles: int) -> LayerCost:
    parts = {"compute": 0, "vector": 0, "memory": 0, "overhead": cycles}
    return LayerCost(
        "(inference)",
        "overhead",
        "",
        (),
        0,
        0,
        0,
        "",
        "",
        0.0,
        0,
        0,
        parts,
        {},
        "overhead",
        {},
        {},
        {},
        by_part(time_energy(chip.arch, chip.prices, cycles)),
        0,
        0,
        True,
        "start and end of one inference",
    )


def _layer_cost(chip: Chip, layer: Layer, mapping: Mapping, live_bits: int, switches: bool) -> LayerCost:
    work = _work(chip, layer, mapping)
    busy = _busy_units(chip, layer, mapping, work)
    cycles = _cycles(chip, layer, mapping, busy, switches)
    actions = _actions(layer, mapping, work)
    energy = by_part(_lines(chip, layer, mapping, actions, work, sum(cycles.values())))
    mac = layer.loops is not None
    tile = mapping.tilings[0].resident_bits if mapping.tilings else {}
    onchip = sum(tile.values()) if tile and not mapping.resident else live_bits if mapping.resident else 0
    return LayerCost(
        layer.name,
        _op_name(layer),
        layer.unit or "none",
        layer.output.shape,
        formats.get(layer.weight).bits if mac and layer.weight else 0,
        _stored_bits(layer.steps[0].inputs[0]),
        layer.steps[0].accumulator.bits if mac else 0,
        layer.stored,
        layer.precision,
        layer.rate,
        layer.loops.macs if layer.loops else 0,
        mapping.work.slots,
        cycles,
        busy,
        _bound(chip.arch, cycles, busy),
        {n: t.read_bits for n, t in mapping.traffic.items()},
        {n: t.write_bits for n, t in mapping.traffic.items()},
        actions,
        energy,
        weight_bits(layer),
        onchip,
        mapping.fits,
        "; ".join(n for n in (layer.note, mapping.work.how) if n),
        mapping.work.mapped_slots,
    )


def _op_name(layer: Layer) -> str:
    names = [str(s.node.attrs.get("function", s.op)) for s in layer.steps]
    first = layer.steps[0]
    if first.op == "conv" and first.node.attrs["group"] > 1:
        names[0] = "depthwise" if first.inputs[1] is not None and first.inputs[1].shape[1] == 1 else "grouped conv"
    return "+".join(dict.fromkeys(n for i, n in enumerate(names) if i == 0 or n not in ("reshape", "quantize")))


def _stored_bits(t: Tensor | None) -> int:
    return formats.get(t.format).bits if t is not None else 0


def _vector_work(arch: Arch, layer: Layer, mapping: Mapping) -> dict[str, int]:
    """Elementary vector operations of a layer by name: the steps' own, and unpacking on the way in."""
    work: dict[str, int] = {}
    for name, count in (item for step in layer.steps for item in step_work(step).items()):
        work[name] = work.get(name, 0) + count
    if layer.loops is not None and layer.unit in arch.arrays and _unpacks(layer):
        own = arch.arrays[layer.unit].unpack
        work["unpack"] = mapping.work.reads["weights"] if own else _loaded_weights(arch, layer, mapping)
    return work


def _loaded_weights(arch: Arch, layer: Layer, mapping: Mapping) -> int:
    """Weights that come into the nearest memory, without biases and scales; those that lie there already are counted as they are used."""
    nearest, weights = mapping.traffic[arch.path("weights")[0]], layer.steps[0].inputs[1]
    assert weights is not None
    written = nearest.write.get("weights", 0)
    bits = written - max(weight_bits(layer) - storage_bits(weights), 0) if written else nearest.read.get("weights", 0)
    return bits // formats.get(layer.weight).bits


def _unpacks(layer: Layer) -> bool:
    """Whether stored weights are widened, or made real, before they meet the multipliers."""
    weight = parse_precision(layer.precision)[0]
    stored = formats.get(layer.weight)
    return stored.is_integer and (isinstance(weight, str) or weight > stored.bits)


def _busy(chip: Chip, layer: Layer, mapping: Mapping, work: dict[str, int]) -> dict[str, int]:
    """How long each unit works for this layer."""
    arch = chip.arch
    if layer.unit == FALLBACK:
        assert arch.fallback is not None, "placement without a fallback is refused before"
        macs = layer.loops.macs / arch.fallback.macs.per_cycle(arch.clock_hz) if layer.loops else 0
        return {FALLBACK: ceil(macs + sum(work.values()) / arch.fallback.elements.per_cycle(arch.clock_hz)), **_memory_busy(chip, mapping)}
    name, unit = next(iter(arch.vector.items()))
    array = arch.arrays.get(layer.unit)
    own_outputs = array is not None and array.outputs is not None
    finishes = array is not None and getattr(load("arrays", array.kind), "FINISHES", False)
    unpacked = 0 if array is not None and array.unpack else work.get("unpack", 0)
    vector = 0 if finishes else ceil(vector_cycles(unit, arch.clock_hz, layer, unpacked, own_outputs))
    return {**({} if array is None else _array_busy(chip, array, layer, mapping)), name: vector, **_memory_busy(chip, mapping)}


def _array_busy(chip: Chip, array: MacArray, layer: Layer, mapping: Mapping) -> dict[str, int]:
    """Products, then the outputs where the array finishes them itself, at the share of its rates that such layers reach."""
    cycles = float(mapping.work.cycles - mapping.work.wait)
    if array.outputs is not None:
        cycles += layer.steps[0].outputs[0].elements / array.outputs.per_cycle(chip.arch.clock_hz)
    return {
        layer.unit: ceil(cycles / array.reached(layer_kind(layer.steps[0]), layer.precision)) + mapping.work.wait + mapping.stall_cycles
    }


def _memory_busy(chip: Chip, mapping: Mapping) -> dict[str, int]:
    """Cycles of each memory's port, without what came before the layer."""
    found = {}
    for name, t in mapping.traffic.items():
        read, write = mapping.prefetched.get(name, (0, 0))
        found[name] = port_cycles(chip.arch, name, t.read_bits - read, t.write_bits - write)
    return found


def _hidden_cycles(chip: Chip, mapping: Mapping, name: str) -> int:
    """Cycles of a memory's port beside which units work: all but the first tiles in, the last ones out, and what came before."""
    traffic, apart = mapping.traffic[name], [p.get(name, (0, 0)) for p in (mapping.lead, mapping.prefetched)]
    return port_cycles(chip.arch, name, traffic.read_bits - sum(r for r, _ in apart), traffic.write_bits - sum(w for _, w in apart))


def _transfers(mapping: Mapping, name: str) -> tuple[int, int]:
    """Bits read and written by tile transfers, without the array's own feed."""
    fed = mapping.feed.get(name, (0, 0))
    return mapping.traffic[name].read_bits - fed[0], mapping.traffic[name].write_bits - fed[1]


def _cycles(chip: Chip, layer: Layer, mapping: Mapping, busy: dict[str, int], switches: bool) -> dict[str, int]:
    """Parts that add up to the layer's time: each part is what it adds beyond the parts before it.

    `switches`: the layer is the first of its kind on the fallback, which costs the handover there and back.
    """
    arch = chip.arch
    compute = busy.get(layer.unit, 0) if layer.unit in (*arch.arrays, FALLBACK) else 0
    vector = sum(busy.get(v, 0) for v in arch.vector)
    fed = {m: port_cycles(chip.arch, m, *mapping.feed.get(m, (0, 0))) for m in arch.memories}
    hidden = max(_hidden_cycles(chip, mapping, m) if spec.double_buffered else fed[m] for m, spec in arch.memories.items())
    exposed = sum(port_cycles(chip.arch, m, *side) for m, (r, w) in mapping.lead.items() for side in ((r, 0), (0, w)))
    exposed += sum(port_cycles(chip.arch, m, *_transfers(mapping, m)) for m, spec in arch.memories.items() if not spec.double_buffered)
    touched = [m for m, t in mapping.traffic.items() if t.read_bits or t.write_bits]
    latency = sum(ceil(chip.cycles(arch.memories[m].latency)) for m in touched)
    off_chip = any(not arch.memories[m].on_chip for m in touched)
    setup = ceil(mapping.transfers * chip.cycles(arch.dma.setup) / arch.dma.channels) if off_chip else 0
    apart = compute > 0 and not next(iter(arch.vector.values())).overlaps
    memory = max(0, max(hidden, setup) - (compute + vector if apart else max(compute, vector))) + exposed + latency
    overhead = ceil(chip.cycles(arch.overheads.per_layer)) if layer.unit != FREE else 0
    if switches and arch.fallback is not None:
        overhead += ceil(chip.cycles(arch.fallback.handover))
    return {"compute": compute, "vector": vector if apart else max(0, vector - compute), "memory": memory, "overhead": overhead}


def _bound(arch: Arch, cycles: dict[str, int], busy: dict[str, int]) -> str:
    """What the layer waits for: the busiest unit, or the overhead when that is longer.

    An array and a vector unit that never work at the same time are one processor, named by what it does longer.
    """
    if not busy:
        return "overhead"
    taken = dict(busy)
    if not next(iter(arch.vector.values())).overlaps and cycles["compute"]:
        processor = max((u for u in busy if u not in arch.memories), key=lambda u: busy[u])
        taken[processor] = sum(n for u, n in busy.items() if u not in arch.memories)
    unit = max(taken, key=lambda u: taken[u])
    return "overhead" if cycles["overhead"] > taken[unit] else unit


def _actions(layer: Layer, mapping: Mapping, work: dict[str, int]) -> dict[str, int]:
    """Counts of everything that is priced, apart from memory accesses."""
    actions = dict(work)
    if layer.loops is not None:
        actions["mac"] = layer.loops.macs
        actions |= {f"{o}_read": n for o, n in mapping.work.reads.items()} | {f"{o}_written": n for o, n in mapping.work.writes.items()}
        step = layer.steps[0]
        w = step.inputs[1]
        if step.integer and w is not None and w.quant is not None and w.quant.has_zero_point and step.accumulator.zero_points == "folded":
            loops = layer.loops
            actions["zero_point"] = loops.N * loops.G * loops.OY * loops.OX * loops.C * loops.FY * loops.FX
        if w is not None and w.quant is not None:
            actions["scale"] = int(w.quant.scale.size)
    return actions
