"""Figures along the time axis: what every unit does (a Gantt chart)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from hwsim.io.plots import COLOURS, short, svg_of
from hwsim.quant import Array
from hwsim.result import Result
from hwsim.trace import Span, Trace

__all__ = ["gantt_plot"]

WORKS = {
    "compute": COLOURS[0],
    "work": COLOURS[0],
    "finish": COLOURS[2],
    "feed": COLOURS[9],
    "load": COLOURS[1],
    "lead": COLOURS[1],
    "prefetch": COLOURS[8],
    "store": COLOURS[3],
    "issue": COLOURS[7],
    "latency": COLOURS[7],
    "overhead": COLOURS[7],
}
DRAWN = 900  # stretches of time that are told apart


def gantt_plot(result: Result) -> str:
    """Units in rows, time to the right; the height is the share of its time in which a unit works, by kind of work."""
    trace = result.trace
    assert trace is not None
    scale = 1e6 / result.cost.clock_hz
    rows = _rows(trace)
    figure = Figure(figsize=(10, 0.36 * (len(rows) + 1) + 0.9))
    axes = figure.subplots()
    titles: list[str] = []
    _layer_row(axes, trace, scale, titles)
    edges = np.linspace(0, max(trace.cycles, 1), DRAWN + 1)
    kinds: set[str] = set()
    for i, (_, spans) in enumerate(rows, 1):
        bottom = np.full(DRAWN, i + 0.4)
        axes.axhline(i + 0.4, color="#cccccc", linewidth=0.6)
        for kind, colour in WORKS.items():
            shares = _shares([s for s in spans if re.match(kind, s.work)], edges)
            if shares.any():
                kinds.add(kind)
                top = bottom - 0.8 * shares
                _steps(axes, top, bottom, edges * scale, colour)
                bottom = top
    axes.set_yticks(range(len(rows) + 1), ["layers", *(name for name, _ in rows)])
    axes.set_ylim(len(rows) + 0.6, -0.6)
    axes.set_xlim(0, trace.cycles * scale)
    axes.set_xlabel("time [µs]")
    axes.grid(axis="y", visible=False)
    for kind in [k for k in WORKS if k in kinds]:
        axes.bar([0], [0], color=WORKS[kind], label=kind)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=8)
    return svg_of(figure, titles)


def _rows(trace: Trace) -> list[tuple[str, list[Span]]]:
    """Spans by unit, those that compute first; of several cores that do the same, the first."""
    units: dict[str, list[Span]] = {}
    for s in trace.spans:
        units.setdefault(s.unit, []).append(s)
    first = {"issue": 0, "overhead": 0, "compute": 1, "work": 1, "finish": 2}
    order = sorted(units, key=lambda u: min(first.get(s.work, 3) for s in units[u]))
    stems = [re.sub(r" \d+$", "", u) for u in order]
    found: dict[str, tuple[str, list[Span]]] = {}
    for unit, stem in zip(order, stems, strict=True):
        found.setdefault(stem, (unit if stems.count(stem) == 1 else f"{stem} (1 of {stems.count(stem)})", units[unit]))
    return list(found.values())


def _shares(spans: Sequence[Span], edges: Array) -> Array:
    """The share of every stretch of time that the spans fill."""
    done = np.zeros(len(edges))
    for s in spans:
        done += np.clip((edges - s.start) / max(s.end - s.start, 1e-9), 0, 1) * (s.end - s.start) * s.busy
    return np.clip(np.diff(done) / np.diff(edges), 0, 1)


def _steps(axes: Any, top: Array, bottom: Array, edges: Array, colour: str) -> None:
    """An area between two stairs, with corners only where one of them has a step; nothing where they meet."""
    change = np.flatnonzero((np.diff(top) != 0) | (np.diff(bottom) != 0)) + 1
    corners: list[tuple[float, float]] = []
    codes: list[Any] = []
    for a, b in pairwise([0, *change.tolist(), len(top)]):
        if bottom[a] > top[a]:
            corners += [(edges[i], y) for i, y in ((a, bottom[a]), (a, top[a]), (b, top[a]), (b, bottom[a]))]
            codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO]
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, linewidth=0))


def _layer_row(axes: Any, trace: Trace, scale: float, titles: list[str]) -> None:
    """The layers in two shades, with names where there is room."""
    for n, (name, start, end) in enumerate(layer for layer in trace.layers if layer[2] > layer[1]):
        bar = axes.barh(0, (end - start) * scale, left=start * scale, height=0.8, color=("#c9d3de", "#e4e9ef")[n % 2])[0]
        bar.set_gid(f"title-{len(titles)}")
        titles.append(f"{name}: {start:,} to {end:,} cycles")
        room = int((end - start) / max(trace.cycles, 1) * 130)
        if room > len(name) or room >= 8:
            axes.text((start + end) / 2 * scale, 0, short(name, room), ha="center", va="center", fontsize=7)
