"""The door to matplotlib for figures of sweeps and searches: lines, points, fronts and heat maps, as papers print them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from hwsim.io.plots import COLOURS
from hwsim.quant import Array

__all__ = ["FORMS", "Axis", "Grid", "Series", "draw_grid", "draw_series"]

FORMS = ("svg", "pdf", "png")
MARKERS = "osD^vPX<>p"
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MANY = 2000
SHORT = 1000  # logarithmic axes of fewer decades have ticks at 1, 2 and 5
STYLE: dict[Any, Any] = {"pdf.fonttype": 42, "savefig.facecolor": "white", "font.size": 8, "axes.linewidth": 0.7, "lines.linewidth": 1.3}
NO_DATES: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Axis:
    """An axis's label, its scale (linear, log or log2), and its ticks where they are not matplotlib's own."""

    label: str
    scale: str = "linear"
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Series:
    """Points (n,) of one look: `hue` and `style` count colours and dashes.  A band reaches from `low` to `high`; `front` is a staircase
    through the best points, horizontal after each (`post`) or before it (`pre`); `notes` are words beside points."""

    x: Array
    y: Array
    hue: int = 0
    style: int = 0
    low: Array | None = None
    high: Array | None = None
    joined: bool = False
    faint: bool = False
    front: str = ""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class Grid:
    """A heat map: values (rows, columns), not-a-number where there is none, with the words of rows, columns and colours."""

    values: Array
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    label: str


def draw_series(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    hues: Sequence[str] = (),
    styles: Sequence[str] = (),
    form: str = "svg",
    size: tuple[float, float] = (4.5, 3.2),
) -> bytes:
    """A figure of lines, points or fronts; size in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        for s in series:
            _draw(axes, s)
        _shape(axes.xaxis, axes.set_xscale, axes.set_xlabel, x)
        _shape(axes.yaxis, axes.set_yscale, axes.set_ylabel, y)
        _annotate(axes, series)
        _legend(figure, hues, styles, any(s.joined for s in series))
        return _bytes(figure, form)


def draw_grid(grid: Grid, x: str, y: str, form: str = "svg", size: tuple[float, float] = (4.5, 3.2)) -> bytes:
    """A heat map with a number in each cell where there is room; size in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(grid.values, aspect="auto", origin="lower", cmap="viridis")
        axes.set_xticks(range(len(grid.columns)), grid.columns, rotation=0 if max(map(len, grid.columns)) < 8 else 45)
        axes.set_yticks(range(len(grid.rows)), grid.rows)
        axes.grid(visible=False)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        figure.colorbar(image, ax=axes, label=grid.label)
        if grid.values.size <= 150:
            low, high = np.nanmin(grid.values), np.nanmax(grid.values)
            for (row, column), v in np.ndenumerate(grid.values):
                if np.isfinite(v):
                    shade = "black" if (v - low) > 0.55 * (high - low) else "white"
                    axes.annotate(f"{v:.3g}", (column, row), ha="center", va="center", color=shade, fontsize=6.5)
        return _bytes(figure, form)


def _draw(axes: Any, s: Series) -> None:
    colour, marker, dash = COLOURS[s.hue % len(COLOURS)], MARKERS[s.hue % len(MARKERS)], DASHES[s.style % len(DASHES)]
    if s.front:
        axes.step(s.x, s.y, where=s.front, color=colour, linestyle=dash, zorder=3)
        axes.plot(s.x, s.y, marker, color=colour, markersize=3.5, zorder=4, rasterized=len(s.x) > MANY)
    elif s.joined:
        axes.plot(s.x, s.y, color=colour, linestyle=dash, marker=marker, markersize=3.5)
    else:
        many = len(s.x) > MANY
        look: dict[str, Any] = (
            {"markersize": 1.2, "alpha": 0.25, "markeredgewidth": 0}
            if many
            else {"markersize": 3 if s.faint else 4, "alpha": 0.3 if s.faint else 0.8}
        )
        axes.plot(s.x, s.y, "." if many else marker, color=colour, fillstyle="none" if s.style % 2 else "full", rasterized=many, **look)
    if s.low is not None:
        axes.fill_between(s.x, s.low, s.high, color=colour, alpha=0.15, linewidth=0)


def _annotate(axes: Any, series: Sequence[Series]) -> None:
    """The notes beside points, as far as they do not lie on others."""
    axes.autoscale_view()
    taken: list[Array] = []
    for s in series:
        for note, x, y in zip(s.notes, s.x, s.y, strict=False):
            at = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
            if all((np.abs(at - other) > (22, 7)).any() for other in taken):
                taken.append(at)
                look = {"fontsize": 6, "color": COLOURS[s.hue % len(COLOURS)]}
                axes.annotate(note, (x, y), xytext=(3, 3), textcoords="offset points", **look)


def _shape(axis: Any, set_scale: Any, set_label: Any, wanted: Axis) -> None:
    if wanted.scale != "linear":
        set_scale("log", base=2 if wanted.scale == "log2" else 10)
        low, high = axis.get_data_interval()
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < SHORT * low else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(NullFormatter())
    if wanted.ticks:
        axis.set_major_locator(FixedLocator([at for at, _ in wanted.ticks]))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_ticklabels([text for _, text in wanted.ticks])
    set_label(wanted.label)


def _legend(figure: Figure, hues: Sequence[str], styles: Sequence[str], joined: bool) -> None:
    """Colours with their markers, then dashes in grey, above the axes."""
    from matplotlib.lines import Line2D

    shown = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], linestyle="-" if joined else "", label=text)
        for i, text in enumerate(hues)
    ]
    for i, text in enumerate(styles):
        look = (
            {"linestyle": DASHES[i % len(DASHES)]} if joined else {"linestyle": "", "marker": "o", "fillstyle": "none" if i % 2 else "full"}
        )
        shown.append(Line2D([], [], color="#555555", label=text, **look))
    if len(shown) > 1:
        widest = max(len(str(s.get_label())) for s in shown)
        columns = max(1, int(figure.get_figwidth() * 72 / (4.6 * widest + 34)))
        figure.legend(handles=shown, loc="outside upper center", ncols=min(columns, len(shown)), fontsize=7, markerscale=0.7)


def _bytes(figure: Figure, form: str) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=form, dpi=300, metadata=NO_DATES[form])
    return out.getvalue()
