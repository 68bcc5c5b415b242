"""One layer explained: actions and prices with their sources, what binds, which widths ran, and what one change at a time would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hwsim.arch import Arch, Vector, parse_precision
from hwsim.blocks import Block
from hwsim.cost import Cost, LayerCost
from hwsim.errors import HwsimError, NotDeployable, suggest
from hwsim.explanation import Explanation, PortUse, Source, WhatIf
from hwsim.graph import Graph
from hwsim.mac_array import MacArray, Unroll
from hwsim.program import Layer
from hwsim.simulate import lay_out
from hwsim.steps.estimate import energy_lines, estimate
from hwsim.steps.lower import lower
from hwsim.steps.place import carry
from hwsim.steps.ports import port_cycles
from hwsim.steps.prices import Prices
from hwsim.steps.widths import at_widths

__all__ = ["explain"]

OPERANDS = ("weights", "activations")


def explain(arch: Arch, graph: Graph, name: str, mapper: str = "", objective: str = "latency") -> Explanation:
    """A layer by the name of one of its nodes.  Raises HwsimError for a name that is in no layer."""
    program = lower(graph, arch)
    index = _find(program.layers, name)
    laid = lay_out(arch, program, mapper, objective=objective)
    cost = estimate(program, arch, laid.mappings, laid.residency, laid.prices)
    layer, mapping, row = program.layers[index], laid.mappings[index], cost.layers[index]
    array = arch.arrays.get(layer.unit)
    return Explanation(
        arch.name,
        arch.validation.text,
        row,
        arch.clock_hz,
        array.kind if array else "",
        tuple(array.rates) if array else (),
        mapping.work.stages if array else {},
        tuple(_ports(arch, mapping.traffic)),
        tuple(energy_lines(arch, laid.prices, layer, mapping, row.total_cycles)),
        sources(arch, laid.prices),
        cost.cycles,
        cost.energy_pj,
        tuple(_changes(arch, graph, layer, index, mapper, objective)),
    )


def _find(layers: tuple[Layer, ...], name: str) -> int:
    """The layer of that name, or the one that a node of that name is fused into."""
    found = next((i for i, layer in enumerate(layers) if layer.name == name), None)
    if found is None:
        found = next((i for i, layer in enumerate(layers) if any(s.name == name for s in layer.steps)), None)
    if found is None:
        known = [layer.name for layer in layers]
        raise HwsimError("--layer", f"must be a layer of the network such as '{known[0]}'", repr(name), suggest(name, known))
    return found


def _ports(arch: Arch, traffic: Mapping[str, Any]) -> Iterator[PortUse]:
    for name, moved in traffic.items():
        memory = arch.memories[name]
        for direction, side, rate in (("read", moved.read, memory.read), ("write", moved.write, memory.write)):
            bits = (sum(side.values()), 0) if direction == "read" else (0, sum(side.values()))
            if any(side.values()):
                width = rate.per_cycle(arch.clock_hz) * memory.efficiency
                yield PortUse(name, direction, dict(side), width, port_cycles(arch, name, *bits))


def sources(arch: Arch, prices: Prices) -> dict[str, Source]:
    """Where each block of prices comes from: the chip's own, and those of its energy table at its node and supply."""
    found = {name: _source(name, block) for name, block in arch.blocks}
    table = prices.table
    for block in ("multiply", "add", "floats", "register_access", "wires", "sram", "off_chip"):
        plain = _source(f"archs/costs/{table.name}.yaml {block}", getattr(table, block))
        scaled = {"off_chip": 1.0, "wires": prices.supply * prices.scale}.get(block, prices.factor)
        trust = getattr(table, block).trust
        found[block] = replace(plain, node_nm=table.node, voltage=table.voltage, scaled=scaled, trust=trust)
    return found


def _source(name: str, block: Block) -> Source:
    """Its source, and what it says is assumed."""
    texts = [block.source, block.assumed and f"assumed: {block.assumed}"]
    return Source(name, "; ".join(t for t in texts if t), assumed=bool(block.assumed))


def _changes(arch: Arch, graph: Graph, layer: Layer, index: int, mapper: str, objective: str) -> Iterator[WhatIf]:
    """Operands of other widths, each memory and the vector unit twice as fast, the layer's array twice as large."""

    def again(of: str, change: str, chip: Arch, network: Graph) -> WhatIf:
        try:
            program = lower(network, chip)
            laid = lay_out(chip, program, mapper, objective=objective)
            return _what_if(of, change, index, estimate(program, chip, laid.mappings, laid.residency, laid.prices))
        except NotDeployable:
            return WhatIf(of, change, None, None, None, None)

    own = next(n for n in graph.nodes if n.name == layer.steps[0].name)
    for of, bits in _narrower(arch, layer):
        names = dict(zip(OPERANDS, own.inputs[1::-1], strict=False))
        text = " and ".join(f"{k} of {bits[k]} instead of {old} bits" for k, old in _widths(layer).items() if k in bits)
        yield again(of, text, arch, at_widths(graph, {names[k]: b for k, b in bits.items()}))
    for name in arch.memories:
        yield again(name, f"{name} twice as fast", _faster(arch, name), graph)
    unit = next(iter(arch.vector))
    yield again(unit, f"{unit} twice as fast", arch.model_copy(update={"vector": {unit: _quicker(arch.vector[unit])}}), graph)
    if layer.unit in arch.arrays:
        bigger = {**arch.arrays, layer.unit: _larger(arch.arrays[layer.unit])}
        yield again(layer.unit, f"{layer.unit} twice as large", arch.model_copy(update={"arrays": bigger}), graph)


def _widths(layer: Layer) -> dict[str, int]:
    """Bits of a product's weights and activations that are integers and can be fewer."""
    if layer.loops is None:
        return {}
    x, w = layer.steps[0].inputs[:2]
    return {k: t.quant.bits for k, t in (("weights", w), ("activations", x)) if t is not None and t.quant is not None and t.quant.bits > 1}


def _narrower(arch: Arch, layer: Layer) -> Iterator[tuple[str, dict[str, int]]]:
    """One bit less of each operand; the widest widths at which the array is faster, of one operand and of both; and the widths that run."""
    now = _widths(layer)
    tried: list[dict[str, int]] = [{k: b - 1} for k, b in now.items()]
    array = arch.arrays.get(layer.unit)
    if array is not None and len(now) == 2:
        tried += [fewer for which in (["weights"], ["activations"], list(now)) if (fewer := _next_faster(array, now, which))]
    for i, bits in enumerate(tried):
        if bits not in tried[:i]:
            yield "both" if len(bits) > 1 else next(iter(bits)), bits
    weights, activations = parse_precision(layer.precision) if array is not None and layer.precision else ("", "")
    if len(now) == 2 and isinstance(weights, int) and isinstance(activations, int):
        wider = {k: b for k, b in (("weights", weights), ("activations", activations)) if b > now[k]}
        if wider:
            yield "as_run", wider


def _next_faster(array: MacArray, now: dict[str, int], which: list[str]) -> dict[str, int]:
    """The most bits of some operands, the same for all of them, at which the array makes more products a cycle than now."""

    def rate(widths: dict[str, int]) -> float:
        carried = carry(array, f"w{widths['weights']}a{widths['activations']}")
        return carried.rate if carried else 0.0

    for bits in range(max(now[k] for k in which) - 1, 0, -1):
        fewer = {k: bits for k in which if bits < now[k]}
        if rate({**now, **fewer}) > rate(now):
            return fewer
    return {}


def _what_if(of: str, change: str, index: int, cost: Cost) -> WhatIf:
    row: LayerCost = cost.layers[index]
    return WhatIf(of, change, row.total_cycles, row.total_pj, cost.cycles, cost.energy_pj, row.precision)


def _faster(arch: Arch, name: str) -> Arch:
    m = arch.memories[name]
    ports = {side: replace(rate, amount=2 * rate.amount) for side, rate in (("read", m.read), ("write", m.write))}
    return arch.model_copy(update={"memories": {**arch.memories, name: m.model_copy(update=ports)}})


def _quicker(unit: Vector) -> Vector:
    return unit.model_copy(update={"rates": {op: replace(rate, amount=2 * rate.amount) for op, rate in unit.rates.items()}})


def _larger(array: MacArray) -> MacArray:
    """Twice the outputs side by side; twice the columns of a systolic array; twice the positions of a micro-block (block_engine), whose
    depth is fixed; twice the first loop where outputs are not spread."""

    def doubled(u: Unroll) -> Unroll:
        loop = "columns" if u.columns > 1 else "OX" if array.buffer else "K" if u.K > 1 or not u.loops else next(iter(u.loops))
        return Unroll(**{**u.model_dump(), loop: 2 * getattr(u, loop)})

    fields = {"cores": 2 * array.cores} if array.cores > 1 else {"unroll": [doubled(u) for u in array.unroll]}
    return array.model_copy(update=fields)
