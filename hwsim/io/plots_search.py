"""Figures of a search for widths: what bits cost and gain, and the bits of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.io.plots import COLOURS, short, svg_of

__all__ = ["Mark", "bits_plot", "trade_off_plot"]

STYLES = {
    "uniform": {"marker": "s", "color": COLOURS[7], "linestyle": "none"},
    "mixed": {"marker": "o", "color": COLOURS[0], "linestyle": "-"},
    "judged": {"marker": "D", "color": COLOURS[1], "linestyle": "none"},
    "chosen": {"marker": "*", "color": COLOURS[3], "linestyle": "none"},
}
SIZES = {"chosen": 13.0, "judged": 6.0}


@dataclass(frozen=True)
class Mark:
    """One assignment in the figures: its series, its name, and its numbers by the name of the axis."""

    series: str
    name: str
    numbers: Mapping[str, float]


def trade_off_plot(marks: Sequence[Mark], panels: Sequence[tuple[str, str]]) -> str:
    """A panel for each pair of axes; a mark is drawn where it has both numbers."""
    figure = Figure(figsize=(10, 3.4 * -(-len(panels) // 2)))
    titles: list[str] = []
    for axes, (x, y) in zip(figure.subplots(-(-len(panels) // 2), 2).flat, panels, strict=True):
        _panel(axes, marks, x, y, titles)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(labels))
    figure.tight_layout()
    return svg_of(figure, titles)


def _panel(axes: Axes, marks: Sequence[Mark], x: str, y: str, titles: list[str]) -> None:
    for series, style in STYLES.items():
        drawn = sorted((m for m in marks if m.series == series and x in m.numbers and y in m.numbers), key=lambda m: m.numbers[x])
        if style["linestyle"] == "-":
            axes.plot([m.numbers[x] for m in drawn], [m.numbers[y] for m in drawn], "-", color=style["color"], alpha=0.4)
        for i, m in enumerate(drawn):
            label = series if i == 0 else None
            size = SIZES.get(series, 5.0)
            gid = f"title-{len(titles)}"
            axes.plot(m.numbers[x], m.numbers[y], style["marker"], color=style["color"], markersize=size, label=label, gid=gid)
            titles.append(f"{m.name}: {x} {m.numbers[x]:.4g}, {y} {m.numbers[y]:.4g}")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def bits_plot(weights: Sequence[tuple[str, int, str]], activations: Sequence[tuple[str, int, str]]) -> str:
    """Bits of weights and of activations, each (name, bits, what a mouse shows), in run order."""
    figure = Figure(figsize=(10, 4.6))
    titles: list[str] = []
    for axes, (what, rows) in zip(figure.subplots(2, 1), (("weights", weights), ("activations", activations)), strict=True):
        bars = axes.bar(range(len(rows)), [b for _, b, _ in rows], color=COLOURS[0 if what == "weights" else 1], width=0.75)
        for bar, (name, bits, text) in zip(bars, rows, strict=True):
            bar.set_gid(f"title-{len(titles)}")
            titles.append(f"{name}: {bits} bits. {text}")
        axes.set_xticks(range(len(rows)), [short(name, 18) for name, _, _ in rows], rotation=60, ha="right", fontsize=7)
        axes.set_yticks(sorted({b for _, b, _ in rows} | {0}))
        axes.set_ylabel(f"bits of {what}")
        axes.grid(axis="x", visible=False)
    figure.tight_layout()
    return svg_of(figure, titles)
