"""A mapped layer without contention: what each unit does in all, side by side, and what nothing overlaps.

Tiles stream through (work begins with the first word), memories reach their bandwidth, and buffers are never full: what the analytical
model assumes, found here from who moves what instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.arch import Arch
from hwsim.cost import LayerCost
from hwsim.mapping import Mapping
from hwsim.program import Layer
from hwsim.steps.tiles import TICKS, moves_of, port_of

__all__ = ["Flow", "flowing"]

Sides = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Flow:
    """One layer: (unit, work, ticks) one after the other, then ticks of units `beside` one another and of those `apart` in turn."""

    name: str
    before: tuple[tuple[str, str, int], ...]
    beside: dict[str, int]
    apart: tuple[tuple[str, int], ...]
    bits: dict[str, float]


def flowing(arch: Arch, layer: Layer, mapping: Mapping, row: LayerCost) -> Flow:
    """The layer's units with their work; `row` is what the analytical model says of its arithmetic."""
    beside, tiles = _sides(arch, mapping)
    before = [("host", "issue", float(row.cycles["overhead"]))]
    touched = [m for m, t in mapping.traffic.items() if t.read_bits or t.write_bits]
    before += [(m, "latency", arch.memories[m].latency.cycles(arch.clock_hz)) for m in touched]
    before += list(_exposed(arch, mapping, tiles))
    units = {port: cycles for m, sides in beside.items() for port, cycles in _ports(arch, m, sides).items()}
    if any(not arch.memories[m].on_chip for m in touched):
        units["dma"] = mapping.transfers * arch.dma.setup.cycles(arch.clock_hz) / arch.dma.channels
    vector = next(iter(arch.vector))
    work = [(u, row.busy.get(u, 0)) for u in dict.fromkeys((layer.unit, vector)) if row.busy.get(u, 0)]
    apart = not arch.vector[vector].overlaps and len(work) == 2
    if not apart:
        units |= dict(work)
    moved = dict.fromkeys(units, 0.0)
    for m, t in mapping.traffic.items():
        for direction, bits in (("read", t.read_bits), ("write", t.write_bits)):
            port = port_of(m, arch.memories[m], direction)
            moved[port] = moved.get(port, 0) + bits
    return Flow(
        row.name,
        tuple((u, w, round(c * TICKS)) for u, w, c in before if c),
        {u: round(c * TICKS) for u, c in units.items() if c},
        tuple((u, c * TICKS) for u, c in work) if apart else (),
        moved,
    )


def _sides(arch: Arch, mapping: Mapping) -> tuple[Sides, Sides]:
    """Bits by memory and direction that pass beside the work, and those of tiles that are not double-buffered; without first and last."""
    beside: Sides = {m: {} for m in arch.memories}
    tiles: Sides = {m: {} for m in arch.memories}
    for kind, operands in moves_of(arch, mapping).items():
        for at in operands.values():
            for (memory, direction), bits in at.items():
                into = beside if kind == "feed" or arch.memories[memory].double_buffered else tiles
                into[memory][direction] = into[memory].get(direction, 0) + bits
    for memory, lead in mapping.lead.items():
        for direction, bits in zip(("read", "write"), lead, strict=True):
            beside[memory][direction] = beside[memory].get(direction, 0) - bits
    return beside, tiles


def _ports(arch: Arch, memory: str, sides: dict[str, float]) -> dict[str, float]:
    """Cycles of a memory's ports."""
    spec, found = arch.memories[memory], dict[str, float]()
    for direction, bits in sides.items():
        rate = (spec.read if direction == "read" else spec.write).per_cycle(arch.clock_hz) * spec.efficiency
        port = port_of(memory, spec, direction)
        found[port] = found.get(port, 0) + bits / rate
    return found


def _exposed(arch: Arch, mapping: Mapping, tiles: Sides) -> Iterator[tuple[str, str, float]]:
    """First and last tiles, and all tiles of memories that hold one at a time."""
    for memory, lead in mapping.lead.items():
        for direction, bits in zip(("read", "write"), lead, strict=True):
            for port, cycles in _ports(arch, memory, {direction: bits}).items():
                yield port, "lead", cycles
    for memory, sides in tiles.items():
        ports = _ports(arch, memory, sides)
        if ports:
            port = max(ports, key=lambda p: ports[p])
            yield port, "load", ports[port]
