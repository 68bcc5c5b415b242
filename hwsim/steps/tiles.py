"""A mapped layer as an event-driven run plays it: tiles that are loaded, worked on, finished and stored, with their share of the traffic.

Times are whole ticks, so that a steady state repeats exactly.  Tiles of one layer are alike, but for the first one, which brings
whole tiles of what stays.  What crosses no boundary in tiles (a layer whose activations stay on chip) streams in `PIECES`: the smaller
operand whole, then the larger one piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from hwsim.arch import Arch, Memory
from hwsim.cost import LayerCost
from hwsim.mapping import Mapping
from hwsim.program import Layer
from hwsim.steps.runs import run_bits

__all__ = ["PIECES", "TICKS", "Part", "TiledLayer", "Transfer", "moves_of", "port_of", "tiled"]

TICKS = 1024  # of a cycle
PIECES = 16
Moves = dict[str, dict[str, dict[tuple[str, str], float]]]


@dataclass(frozen=True)
class Part:
    """What one port does for a transfer: how long, how many bits; of those ticks `waits` are for rows, of which `opened` are opened
    in so many accesses."""

    port: str
    ticks: int
    bits: float
    waits: int = 0
    opened: float = 0.0
    accesses: float = 0.0


@dataclass(frozen=True)
class Transfer:
    """Bits on their way through several ports at once, after `latency` ticks."""

    parts: tuple[Part, ...] = ()
    latency: int = 0

    @property
    def ticks(self) -> int:
        return sum(p.ticks for p in self.parts)


@dataclass(frozen=True)
class TiledLayer:
    """One layer in `tiles` loads, each worked on in `pieces` by all `cores` side by side.

    `first` and `rest` are the transfers of a tile, by operand, which has so many `buffers`.  A piece takes `compute` ticks on every
    core and `finish` in the vector unit; a core is fed by `feed`, and `store` takes the piece away.  `ahead` comes while a layer runs
    that is so many before.
    """

    name: str
    unit: str
    vector: str
    apart: bool
    tiles: int
    pieces: int
    cores: int
    buffers: dict[str, int]
    overhead: int
    setup: int
    compute: int
    finish: int
    first: dict[str, Transfer]
    rest: dict[str, Transfer]
    feed: Transfer
    store: Transfer
    ahead: dict[int, Transfer]

    @property
    def total(self) -> int:
        """All pieces of the layer."""
        return self.tiles * self.pieces


def port_of(memory: str, spec: Memory, direction: str) -> str:
    """The port that a read or a write takes: on chip each has its own, unless the memory has `one_port`."""
    return f"{memory} {direction}" if spec.on_chip and not spec.one_port else memory


def moves_of(arch: Arch, mapping: Mapping) -> Moves:
    """Bits by what they are for (`load`, `feed`, `store`), by operand, and by memory and direction; without what came before."""
    moves: Moves = {"load": {}, "feed": {}, "store": {}}
    for memory, traffic in mapping.traffic.items():
        early = mapping.prefetched.get(memory, (0, 0))
        for direction, side, ahead in (("read", traffic.read, early[0]), ("write", traffic.write, early[1])):
            for operand, bits in side.items():
                left = bits - (ahead if operand == "weights" else 0)
                if left > 0:
                    into = moves[_kind(arch, memory, direction, operand)].setdefault(operand, {})
                    into[memory, direction] = into.get((memory, direction), 0) + left
    return moves


def _kind(arch: Arch, memory: str, direction: str, operand: str) -> str:
    """What a movement is for: a unit is fed out of, and writes into, an operand's nearest memory or a staging one."""
    leaves = operand in ("outputs", "sums")
    path = arch.path("outputs" if leaves else operand if operand in ("inputs", "weights") else "weights")
    near = memory == path[0] or memory not in path
    if operand == "sums":
        return "feed" if near else "store"
    if leaves:
        return "store" if direction == "read" or not near else "feed"
    return "load" if direction == "write" or not near else "feed"


def tiled(arch: Arch, layer: Layer, mapping: Mapping, row: LayerCost) -> TiledLayer:
    """The layer with the times of its pieces; `row` is what the analytical model says of its units."""
    moves, vector = moves_of(arch, mapping), next(iter(arch.vector))
    tiles, pieces, first = _cut(arch, mapping, moves["load"])
    array = arch.arrays.get(layer.unit)
    cores = array.cores if array is not None else 1
    count = tiles * pieces
    tile = mapping.tilings[0] if mapping.tilings and tiles > 1 else None

    def share(operands: dict[str, dict[tuple[str, str], float]], part: float) -> Transfer:
        runs = {o: run_bits(arch, layer, tile, o) for o in operands}
        return _transfer(arch, [(m, d, bits * part, runs[o] or bits) for o, at in operands.items() for (m, d), bits in at.items()])

    loads = moves["load"]
    rest = {o: (1 - first[o]) / max(tiles - 1, 1) for o in loads}
    work = row.busy.get(layer.unit, 0) if layer.unit != vector else 0
    return TiledLayer(
        row.name,
        layer.unit if layer.unit in arch.arrays or layer.unit == "fallback" else "",
        vector,
        bool(work) and not arch.vector[vector].overlaps,
        tiles,
        pieces,
        cores,
        {o: _buffers(arch, at, "write") for o, at in loads.items()} | {"outputs": _outputs(arch, moves["store"])},
        row.cycles["overhead"] * TICKS,
        ceil(arch.dma.setup.cycles(arch.clock_hz) * mapping.transfers * TICKS / (tiles * max(len(loads), 1))),
        round((work - mapping.stall_cycles) * TICKS / count),
        round(row.busy.get(vector, 0) * TICKS / count),
        {o: share({o: at}, first[o]) for o, at in loads.items()},
        {o: share({o: at}, rest[o]) for o, at in loads.items()},
        share(moves["feed"], 1 / count / cores),
        share(moves["store"], 1 / count),
        {back: _ahead(arch, mapping, bits) for back, bits in mapping.ahead},
    )


def _ahead(arch: Arch, mapping: Mapping, bits: int) -> Transfer:
    """One of PIECES pieces of what comes early: out of one memory and into another."""
    sides = [(m, d, n) for m, both in mapping.prefetched.items() for d, n in zip(("read", "write"), both, strict=True) if n]
    return _transfer(arch, [(m, d, bits / PIECES, bits) for m, d, _ in sides])


def _buffers(arch: Arch, at: dict[tuple[str, str], float], direction: str) -> int:
    """How many tiles the memories hold that an operand passes on its way."""
    return 2 if all(arch.memories[m].double_buffered for m, d in at if d == direction) else 1


def _outputs(arch: Arch, stores: dict[str, dict[tuple[str, str], float]]) -> int:
    return min((_buffers(arch, at, "read") for at in stores.values()), default=2)


def _cut(arch: Arch, mapping: Mapping, loads: dict[str, dict[tuple[str, str], float]]) -> tuple[int, int, dict[str, float]]:
    """How many tiles, pieces of each, and what share of every operand comes with the first tile."""
    tiles = mapping.tilings[0].trips if mapping.tilings else max(mapping.transfers, 1)
    if tiles > 1:
        return tiles, max(1, PIECES // tiles), {o: _first_share(arch, mapping, o, loads[o], tiles) for o in loads}
    largest = max(loads, key=lambda o: max(loads[o].values()), default="")
    return PIECES, 1, {o: 1 / PIECES if o == largest else 1.0 for o in loads}


def _first_share(arch: Arch, mapping: Mapping, operand: str, at: dict[tuple[str, str], float], tiles: int) -> float:
    """A whole tile of an operand, as a share of all that comes of it."""
    tile = mapping.tilings[0].resident_bits.get(operand, 0) if mapping.tilings else 0
    path = arch.path(operand) if operand in ("inputs", "weights") else []
    come = at.get((path[-1], "read"), 0) if path else 0
    copies = 2 if len(path) > 1 and arch.memories[path[-2]].double_buffered else 1
    return min(1.0, max(1 / tiles, tile / copies / come)) if come else 1 / tiles


def _transfer(arch: Arch, moves: Iterable[tuple[str, str, float, float]]) -> Transfer:
    """Ports with their ticks, from bits by memory and direction, and the runs of neighbours that they are part of.

    Bursts are whole, rows that were not open are opened; buses carry what their memories move.
    """
    ports: dict[str, list[float]] = {}

    def add(port: str, *amounts: float) -> None:
        ports[port] = [a + b for a, b in zip(ports.get(port, [0.0] * 5), amounts, strict=True)]

    memories = set()
    for memory, direction, bits, run in moves:
        if bits > 0:
            memories.add(memory)
            spec = arch.memories[memory]
            rate = (spec.read if direction == "read" else spec.write).per_cycle(arch.clock_hz) * spec.efficiency
            add(port_of(memory, spec, direction), bits / rate, bits, *_accesses(arch, spec, bits, run, rate))
            for name in (n for n, bus in arch.buses.items() if memory in bus.joins):
                add(name, bits / arch.buses[name].rate.per_cycle(arch.clock_hz), bits, 0, 0, 0)
    latency = sum(arch.memories[m].latency.cycles(arch.clock_hz) for m in memories)
    parts = (Part(p, round((c + w) * TICKS), b, round(w * TICKS), o, n) for p, (c, b, w, o, n) in ports.items())
    return Transfer(tuple(parts), round(latency * TICKS))


def _accesses(arch: Arch, spec: Memory, bits: float, run: float, rate: float) -> tuple[float, float, float]:
    """Cycles beyond the bits' own, rows opened, and accesses, for bits that lie in runs of neighbours.

    A run takes whole bursts.  Each of its rows is opened once; with several banks the next opens while those before it transfer.
    """
    whole = ceil(run / spec.burst) * spec.burst if spec.burst else run
    extra, accesses = bits / run * (whole - run) / rate, bits / run * whole / (spec.burst or whole)
    if not spec.row:
        return extra, 0.0, accesses
    opened = bits / run * ceil(whole / spec.row)
    hidden = (spec.banks - 1) * min(whole, spec.row) / rate
    return extra + opened * max(0.0, spec.row_miss.cycles(arch.clock_hz) - hidden), opened, accesses
