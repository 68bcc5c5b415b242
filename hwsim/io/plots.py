"""The door to matplotlib: figures of a Result as SVG text, the same bytes for the same input."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

import matplotlib

matplotlib.use("svg")

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from hwsim.cost import CYCLE_PARTS, LayerCost
from hwsim.result import Result
from hwsim.validation import Point

__all__ = ["COLOURS", "agreement_plot", "drawn_layers", "energy_plot", "latency_plot", "roofline_plot", "short", "svg_of"]

COLOURS = ("#3b6ea8", "#e0913a", "#5a9e6f", "#b5544f", "#8268a8", "#8c6d54", "#d182b4", "#7f7f7f", "#b6b23f", "#4fa9b5", "#2f4858")
FEW_DECADES = 200
PART_COLOURS = dict(zip(CYCLE_PARTS, COLOURS, strict=False))
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "hwsim",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
    }
)


def svg_of(figure: Figure, titles: Sequence[str] = ()) -> str:
    """The figure's SVG element.  Artists with the gid `title-i` show titles[i] under the mouse."""
    out, drawn = io.StringIO(), figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])  # "tight" draws all twice
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}, bbox_inches=drawn)
    text = out.getvalue()
    return re.sub(r'(<g id="title-(\d+)">)', lambda m: f"{m[1]}<title>{escape(titles[int(m[2])])}</title>", text[text.index("<svg") :])


def drawn_layers(result: Result) -> list[LayerCost]:
    """The layers; the fixed cost of an inference, which can dwarf them, is a row of the table and no bar."""
    return [c for c in result.cost.layers if c.op != "overhead"]


def short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def _stacked(rows: Sequence[LayerCost], parts: Sequence[str], value: Any, quantity: str, unit: str, colours: Sequence[str]) -> str:
    """Horizontal bars, one per layer, cut into parts."""
    figure = Figure(figsize=(10, max(2.2, 0.2 * len(rows) + 1.1)))
    axes = figure.subplots()
    left = [0.0] * len(rows)
    titles: list[str] = []
    for part, colour in zip(parts, colours, strict=False):
        widths = [value(c, part) for c in rows]
        shown = [i for i, w in enumerate(widths) if w]
        if shown:
            bars = axes.barh(shown, [widths[i] for i in shown], left=[left[i] for i in shown], color=colour, label=part, height=0.78)
            for i, bar in zip(shown, bars, strict=True):
                bar.set_gid(f"title-{len(titles)}")
                titles.append(f"{rows[i].name} ({rows[i].op}): {part} {widths[i]:.4g} {unit}")
            left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [short(c.name) for c in rows])
    axes.invert_yaxis()
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"{quantity} [{unit}]")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6)
    return svg_of(figure, titles)


def latency_plot(result: Result) -> str:
    """Time per layer in microseconds by part."""
    scale = 1e6 / result.cost.clock_hz
    return _stacked(drawn_layers(result), CYCLE_PARTS, lambda c, p: c.cycles[p] * scale, "time", "µs", list(PART_COLOURS.values()))


def energy_plot(result: Result) -> str:
    """Energy per layer in nanojoules by part, the largest part first."""
    parts = sorted(result.energy_parts_pj, key=lambda p: -result.energy_parts_pj[p])
    return _stacked(drawn_layers(result), parts, lambda c, p: c.energy_pj.get(p, 0.0) / 1e3, "energy", "nJ", COLOURS)


def roofline_plot(result: Result, peak_macs_per_cycle: float, bytes_per_cycle: float, memory: str) -> str:
    """Every MAC layer under the roof of the array and of one memory: MACs per byte against MACs per cycle."""
    layers = [c for c in result.cost.layers if c.slots]
    figure = Figure(figsize=(7.5, 4.6))
    axes = figure.subplots()
    points = []
    for c in layers:
        moved = (c.read_bits[memory] + c.write_bits[memory]) / 8
        busy = max(sum(c.cycles[p] for p in ("compute", "vector", "memory")), 1)
        points.append((c.macs / moved if moved else None, c.macs / busy, c))
    finite = [x for x, _, _ in points if x] or [1.0]
    low, high = min(finite) / 3, max([*finite, peak_macs_per_cycle / bytes_per_cycle]) * 4
    axes.loglog(
        [low, peak_macs_per_cycle / bytes_per_cycle, high],
        [low * bytes_per_cycle, peak_macs_per_cycle, peak_macs_per_cycle],
        color="#333333",
    )
    for axis in (axes.xaxis, axes.yaxis):  # plain numbers: the parser of powers of ten takes longer to start than all else to draw
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    kinds = list(dict.fromkeys(c.op.split("+")[0] for c in layers))
    for kind, colour in zip(kinds, COLOURS * 3, strict=False):
        axes.plot([], [], "o", markersize=5, color=colour, label=kind)
        for i, (x, y, c) in enumerate(points):
            if c.op.split("+")[0] == kind:
                axes.plot(x or high, y, "o", markersize=5, color=colour, zorder=3, gid=f"title-{i}")
    if any(x is None for x, _, _ in points):
        axes.annotate(f"no {memory} traffic", (high, peak_macs_per_cycle), ha="right", va="bottom", fontsize=8)
    axes.set_xlabel(f"MACs per byte of {memory}")
    axes.set_ylabel("MACs per cycle")
    axes.legend(loc="lower right")
    return svg_of(
        figure,
        [f"{c.name} ({c.op}): {f'{x:.4g} MACs per byte' if x else f'no {memory} traffic'}, {y:.4g} MACs per cycle" for x, y, c in points],
    )


def _few_ticks(axes: Any, span: float) -> None:
    """Plain numbers at 1, 2 and 5 where an axis spans less than two decades, powers of ten alone elsewhere."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
        if span < FEW_DECADES:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def agreement_plot(points: Sequence[Point]) -> str:
    """Predicted against measured on logarithmic axes, with the line on which both are the same; many points become a picture."""
    figure = Figure(figsize=(4.2, 3.8))
    axes = figure.subplots()
    drawn = [p for p in points if p.measured > 0 and p.predicted > 0]
    sides = [v for p in drawn for v in (p.measured, p.predicted)] or [1.0]
    ends = [min(sides) / 1.5, max(sides) * 1.5]
    axes.loglog(ends, ends, color="#333333", linewidth=0.8)
    _few_ticks(axes, ends[1] / ends[0])
    if len(drawn) > 200:
        axes.plot([p.measured for p in drawn], [p.predicted for p in drawn], ".", markersize=2, color=COLOURS[0], rasterized=True)
    else:
        for i, p in enumerate(drawn):
            axes.plot(p.measured, p.predicted, "o", markersize=4, color=COLOURS[0], gid=f"title-{i}")
    axes.set_xlabel("measured")
    axes.set_ylabel("predicted")
    return svg_of(figure, [f"{p.label}: measured {p.measured:.6g}, predicted {p.predicted:.6g} ({100 * p.error:+.3g} %)" for p in drawn])
