"""Traces in Chrome's trace-event format, which ui.perfetto.dev and chrome://tracing open (one microsecond of it is one of the chip)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hwsim.result import Result
from hwsim.trace import Span, Trace

__all__ = ["to_chrome"]

Event = dict[str, Any]
CHIP = 1
POINTS = 512  # of a counter


def to_chrome(result: Result) -> str:
    """A track for the layers and for each unit, and counters of every port's bandwidth and of the memory in use, as JSON text."""
    trace = result.trace
    assert trace is not None
    scale = 1e6 / result.cost.clock_hz
    events: list[Event] = [{"name": "process_name", "ph": "M", "pid": CHIP, "args": {"name": f"{result.arch}: {result.model}"}}]
    events += _layers(trace, scale)
    units = list(dict.fromkeys(s.unit for s in trace.spans))
    for i, (track, spans) in enumerate(_tracks(trace, scale), 2):
        events += _track(i, track)
        events += [_complete(i, f"{s.layer}: {s.work}", s.start, s.end, scale, _said(s)) for s in spans]
    for unit in units:
        events += _bandwidth(unit, [s for s in trace.spans if s.unit == unit and s.bits], result, scale)
    events += [_counter("on-chip memory [bytes]", t.start * scale, {"used": t.onchip_bytes}) for t in result.timeline]
    document = {"displayTimeUnit": "ns", "otherData": {"arch": result.arch, "arch_hash": result.arch_hash, "model": result.model}}
    return json.dumps({"traceEvents": events, **document}, separators=(",", ":"), allow_nan=False) + "\n"


def _tracks(trace: Trace, scale: float) -> Iterator[tuple[str, list[Span]]]:
    """Spans by track.  A unit that two kinds of work take turns on, a word each, has as many tracks as there are spans at once: viewers
    drop what overlaps in a track."""
    units: dict[str, list[list[Span]]] = {}
    for s in sorted(trace.spans, key=lambda s: (s.start, s.end)):
        lanes = units.setdefault(_track_of(s), [])
        free = next((lane for lane in lanes if _ns(lane[-1].end, scale) <= _ns(s.start, scale)), None)
        if free is None:
            lanes.append([s])
        else:
            free.append(s)
    for unit, lanes in units.items():
        yield from ((unit if i == 1 else f"{unit} ({i})", lane) for i, lane in enumerate(lanes, 1))


def _track_of(s: Span) -> str:
    """A unit's own; what feeds a unit at work goes between the words of transfers, so it has one beside theirs."""
    return f"{s.unit}, feed" if s.work.startswith("feed") else s.unit


def _ns(cycle: float, scale: float) -> int:
    """Viewers count whole nanoseconds."""
    return round(cycle * scale * 1e3)


def _track(number: int, name: str) -> list[Event]:
    ids = {"ph": "M", "pid": CHIP, "tid": number}
    return [{"name": "thread_name", **ids, "args": {"name": name}}, {"name": "thread_sort_index", **ids, "args": {"sort_index": number}}]


def _layers(trace: Trace, scale: float) -> list[Event]:
    return [*_track(1, "layers"), *(_complete(1, name, start, end, scale, {}) for name, start, end in trace.layers if end > start)]


def _complete(track: int, name: str, start: float, end: float, scale: float, args: Event) -> Event:
    ids = {"name": name, "ph": "X", "pid": CHIP, "tid": track}
    first, last = _ns(start, scale), _ns(end, scale)
    return {**ids, "ts": first / 1e3, "dur": (last - first) / 1e3, "args": args}


def _said(s: Span) -> Event:
    return {"pieces": s.tiles, "bytes": round(s.bits / 8), "busy": round(s.busy, 4), "cycles": round(s.end - s.start, 3)}


def _counter(name: str, at: float, values: Event) -> Event:
    return {"name": name, "ph": "C", "pid": CHIP, "ts": round(at, 6), "args": values}


def _bandwidth(unit: str, spans: list[Span], result: Result, scale: float) -> Iterator[Event]:
    """What passes a port on average in each of many equal stretches of time, in GB/s."""
    if not spans or not result.cost.cycles:
        return
    step = result.cost.cycles / POINTS
    moved = [0.0] * POINTS
    for s in spans:
        first, last = int(s.start / step), min(int(s.end / step), POINTS - 1)
        edges = [s.start, *(i * step for i in range(first + 1, last + 1)), s.end]
        for a, b in pairwise(edges):
            moved[min(int((a + b) / 2 / step), POINTS - 1)] += s.bits * (b - a) / max(s.end - s.start, 1e-9)
    rate = result.cost.clock_hz / step / 8e9
    for i, bits in enumerate([*moved, 0.0]):
        yield _counter(f"{unit} [GB/s]", i * step * scale, {"moved": round(bits * rate, 6)})
