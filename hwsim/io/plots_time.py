"""Figures along the time axis: what every unit does (a Gantt chart), and what lies where in the chip's memories."""

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
from hwsim.memory_plan import MemoryPlan
from hwsim.quant import Array
from hwsim.result import Result
from hwsim.trace import Span, Trace

__all__ = ["gantt_plot", "memory_plot"]

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
        room = int((end - start) / max(trace.cycles, 1) * 150)
        if room > len(name) or room >= 8:
            axes.text((start + end) / 2 * scale, 0, short(name, room), ha="center", va="center", fontsize=7)


KINDS = {"activation": COLOURS[0], "weights": COLOURS[2], "tiles": COLOURS[1]}


def memory_plot(result: Result) -> str:
    """The addresses of every memory on the chip over time: one box for each tensor from its first to its last layer."""
    plan = result.memory_plan
    assert plan is not None
    memories = [m for m in plan.on_chip if plan.peak_bytes[m]]
    figure = Figure(figsize=(10, max(1.2, 2.3 * len(memories)) + 0.6))
    titles: list[str] = []
    for axes, memory in zip(figure.subplots(max(len(memories), 1), 1, sharex=True, squeeze=False)[:, 0], memories, strict=False):
        _memory_rows(axes, result, plan, memory, titles)
    return svg_of(figure, titles)


def _memory_rows(axes: Any, result: Result, plan: MemoryPlan, memory: str, titles: list[str]) -> None:
    """One memory: boxes, what is live in all, and how much there is where that is near."""
    scale, peak, size = 1e6 / result.cost.clock_hz, plan.peak_bytes[memory], plan.capacity_bytes[memory]
    unit, name = (2**20, "MiB") if peak > 4 * 2**20 else (2**10, "KiB")
    times = [(s.start * scale, s.end * scale) for s in result.timeline[: len(plan.layers)]]
    for r in (r for r in plan.regions if r.memory == memory):
        (start, _), (_, end) = times[r.first], times[r.last]
        box = axes.bar(start, r.size_bytes / unit, end - start, r.offset_bytes / unit, align="edge", color=KINDS[r.kind])[0]
        box.set(edgecolor="white", linewidth=0.4, gid=f"title-{len(titles)}")
        titles.append(f"{r.name} ({r.kind}): {r.size_bytes:,} bytes at {r.offset_bytes:,}, {plan.layers[r.first]} to {plan.layers[r.last]}")
    edges = [start for start, _ in times] + [times[-1][1]]
    axes.stairs([b / unit for b in plan.live_bytes(memory)], edges, color="#1d2733", linewidth=0.8, label="live")
    if size is not None and size < 6 * peak:
        axes.axhline(size / unit, color=COLOURS[3], linewidth=1)
        axes.annotate("capacity", (edges[-1], size / unit), ha="right", va="bottom", fontsize=8, color=COLOURS[3])
    axes.set_ylabel(f"{memory} [{name}]")
    axes.set_xlim(0, edges[-1])
    axes.set_xlabel("time [µs]" if axes.get_subplotspec().is_last_row() else "")
    used = {r.kind for r in plan.regions if r.memory == memory}
    for kind in [k for k in KINDS if k in used]:
        axes.bar([0], [0], color=KINDS[kind], label=kind)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8)
