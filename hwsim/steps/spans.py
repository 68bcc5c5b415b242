"""What units did and when, noted while events happen, and the bounds that hold whatever happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hwsim.steps.tiles import PIECES, TICKS, TiledLayer, Transfer
from hwsim.trace import Span, Trace

__all__ = ["Log", "Seen", "bounds"]

Seen = dict[tuple[str, str], tuple[int, float, int]]


@dataclass
class _Open:
    """A span that neighbours may still join, in ticks."""

    layer: str
    work: str
    start: int
    end: int
    working: int
    bits: float
    count: int


@dataclass
class Log:
    """Spans by unit.  Work that follows work of the same kind without a pause is one span."""

    units: dict[str, list[_Open]] = field(default_factory=dict)
    sums: Seen = field(default_factory=dict)
    layers: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, unit: str, layer: str, work: str, start: int, ticks: int, bits: float = 0.0, working: int | None = None) -> None:
        """A unit is taken for so many ticks, in which it works for `working` of them (all where that is left out)."""
        worked = ticks if working is None else working
        busy, moved, count = self.sums.get((unit, work), (0, 0.0, 0))
        self.sums[unit, work] = busy + worked, moved + bits, count + 1
        spans = self.units.setdefault(unit, [])
        last = spans[-1] if spans else None
        if last is not None and last.end == start and (last.layer, last.work) == (layer, work):
            last.end, last.working, last.bits, last.count = start + ticks, last.working + worked, last.bits + bits, last.count + 1
        elif ticks or bits:
            spans.append(_Open(layer, work, start, start + ticks, worked, bits, 1))

    def repeat(self, layer: str, before: Seen, period: int, times: int) -> None:
        """What has gone on since the sums were `before`, `times` more, each unit from where it is: a span for each kind of work."""
        starts = {unit: found[-1].end for unit, found in self.units.items() if found}
        for (unit, work), (busy, bits, count) in self.sums.items():
            was = before.get((unit, work), (0, 0.0, 0))
            more = times * (busy - was[0]), times * (bits - was[1]), times * (count - was[2])
            if more[2]:
                start = starts.get(unit, 0)
                self.units[unit].append(_Open(layer, f"{work}, steady", start, start + times * period, more[0], more[1], more[2]))
                self.sums[unit, work] = busy + more[0], bits + more[1], count + more[2]

    def layer(self, name: str, start: int, end: int) -> None:
        """A layer from its first tick to its last; whole cycles, so that the next begins where this one ends."""
        self.layers.append((name, -(-start // TICKS), -(-end // TICKS)))

    def after(self, name: str, cycles: int) -> None:
        """Something that the host does behind all layers."""
        start = self.layers[-1][2] if self.layers else 0
        self.add("host", name, "overhead", start * TICKS, cycles * TICKS)
        self.layers.append((name, start, start + cycles))

    def trace(self, roofline: float, serial: float, row_hits: dict[str, float], contention: bool) -> Trace:
        """Everything in cycles, in the order of units and time."""
        spans = [
            Span(unit, s.layer, s.work, s.start / TICKS, s.end / TICKS, s.bits, s.count, s.working / max(s.end - s.start, 1))
            for unit, found in self.units.items()
            for s in found
        ]
        return Trace(tuple(spans), tuple(self.layers), roofline, serial, row_hits, contention)


def bounds(layers: Sequence[TiledLayer]) -> tuple[float, float]:
    """Cycles that no order of events can be faster or slower than: the busiest unit alone, and everything one after the other."""
    ports: dict[str, int] = {}
    arithmetic = serial = 0
    for at in layers:
        compute, finish = at.total * at.compute, at.total * at.finish
        arithmetic += at.overhead + (compute + finish if at.apart else max(compute, finish))
        serial += at.overhead + compute + finish
        for transfer, times, setup in _transfers(at):
            serial += times * (transfer.ticks + transfer.latency + setup)
            for part in transfer.parts:
                ports[part.port] = ports.get(part.port, 0) + times * (part.ticks - part.waits)
    return max(arithmetic, *ports.values(), 0) / TICKS, serial / TICKS


def row_hits(layers: Sequence[TiledLayer]) -> dict[str, float]:
    """The share of accesses that find their row open, by port."""
    opened: dict[str, list[float]] = {}
    for at in layers:
        for transfer, times, _ in _transfers(at):
            for part in transfer.parts:
                sums = opened.setdefault(part.port, [0.0, 0.0])
                sums[0] += times * part.opened
                sums[1] += times * part.accesses
    return {port: 1 - rows / accesses for port, (rows, accesses) in opened.items() if rows}


def _transfers(at: TiledLayer) -> Iterable[tuple[Transfer, int, int]]:
    """Every transfer of a layer, how often it takes place, and what it takes to start."""
    for early in at.ahead.values():
        yield early, PIECES, 0
    for operand, first in at.first.items():
        yield first, 1, at.setup
        yield at.rest[operand], at.tiles - 1, at.setup
    yield at.feed, at.total * at.cores, 0
    yield at.store, at.total, 0
