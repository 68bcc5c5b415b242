"""Figures of a sweep's file: any number against any other, told apart by colour and dash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from hwsim.decide.measures import MEASURES, known, number_of, scaled
from hwsim.decide.sheet import Sheet, in_order, word
from hwsim.errors import HwsimError
from hwsim.io.figures import FORMS, Axis, Grid, Series, draw_grid, draw_series
from hwsim.quant import Array
from hwsim.searches.pareto import undominated

__all__ = ["KINDS", "LOGS", "Figure", "draw", "fronts"]

KINDS = ("line", "scatter", "pareto", "heatmap")
LOGS = ("auto", "none", "x", "y", "xy")
WIDE = 100.0
MOST_TICKS, MOST_STYLES, MOST_NOTES = 16, 6, 12


@dataclass(frozen=True)
class Figure:
    """What is to be drawn.

    `x`, `y`, `hue`, `style` name numbers or words of points, or fields of chips that the sweep varied; a heat map's colour is its
    `hue`.  `where` keeps points whose words are among the given ones; `log` says which axes are logarithmic, auto: those that span two
    decades.  `size` is in inches.
    """

    x: str
    y: str
    hue: str = ""
    style: str = ""
    kind: str = ""
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    log: str = "auto"
    size: tuple[float, float] = (4.5, 3.2)


def draw(path: Path, wanted: Figure, form: str = "svg") -> tuple[bytes, list[str]]:
    """The figure's bytes as svg, pdf or png, and remarks on what it does not show.

    Raises HwsimError for names that the file does not hold, and when no point is left to draw.
    """
    known("--out", form, FORMS)
    known("--log", wanted.log, LOGS)
    sheet = _sheet(path, wanted)
    kind = wanted.kind or ("line" if wanted.x in ("weight_bits", "activation_bits", *sheet.fields) else "scatter")
    return _heat_map(sheet, wanted, form) if kind == "heatmap" else _series(sheet, wanted, kind, form), sheet.remarks


def fronts(path: Path, wanted: Figure) -> set[int]:
    """The numbers (`id`) of the points on the Pareto fronts of x and y, one front for each hue and style.  Raises HwsimError as `draw`."""
    sheet = _sheet(path, wanted)
    values = np.stack([_sign(sheet, n) * np.array(sheet.columns[n], np.float64) for n in (wanted.x, wanted.y)], 1)
    (_, hue), (styles, style) = _groups(sheet, wanted.hue), _groups(sheet, wanted.style)
    best = undominated(values, hue * max(len(styles), 1) + style)
    return set(np.array(sheet.columns["id"])[best].tolist())


def _sheet(path: Path, wanted: Figure) -> Sheet:
    if wanted.kind:
        known("--kind", wanted.kind, KINDS)
    names = {"--x": wanted.x, "--y": wanted.y, "--hue": wanted.hue, "--style": wanted.style}
    sheet = Sheet(path, {option: n for option, n in names.items() if n or option in ("--x", "--y")}, wanted.where)
    words = [o for o, n in (("--x", wanted.x), ("--y", wanted.y)) if n not in sheet.measures]
    if wanted.kind == "pareto" and words:
        raise HwsimError(words[0], f"must be a number of {', '.join(MEASURES)} for a front", repr(names[words[0]]))
    return sheet


def _series(sheet: Sheet, wanted: Figure, kind: str, form: str) -> bytes:
    x_axis, x = _axis(sheet, wanted, "x")
    y_axis, y = _axis(sheet, wanted, "y")
    hues, hue = _groups(sheet, wanted.hue)
    styles, style = _groups(sheet, wanted.style or (_style(sheet, x, hue) if kind == "line" else ""))
    drawn: list[Series] = []
    for h, s in product(range(len(hues) or 1), range(len(styles) or 1)):
        at = np.flatnonzero((hue == h) & (style == s))
        if not len(at):
            continue
        points = Series(x[at], y[at], h, s, faint=kind == "pareto")
        drawn.append(_line(points) if kind == "line" else points)
        if kind == "pareto":
            drawn.append(_front(points, [_sign(sheet, wanted.x), _sign(sheet, wanted.y)], np.array(sheet.columns["precision"])[at]))
    return draw_series(drawn, x_axis, y_axis, hues, styles, form, wanted.size)


def _line(points: Series) -> Series:
    """Medians of points that share a place, with a band from the least to the most."""
    places = np.unique(points.x)
    parts = [points.y[points.x == v] for v in places]
    middle, low, high = (np.array([f(p) for p in parts]) for f in (np.median, np.min, np.max))
    several = bool((low < high).any())
    return Series(places, middle, points.hue, points.style, low if several else None, high if several else None, joined=True)


def _front(points: Series, signs: Sequence[int], precisions: Array) -> Series:
    best = np.flatnonzero(undominated(np.stack([signs[0] * points.x, signs[1] * points.y], 1)))
    best = best[np.argsort(points.x[best], kind="stable")]
    notes = tuple(str(p) for p in precisions[best] if p != "mixed")
    shown = notes if len(notes) == len(best) <= MOST_NOTES else ()
    return Series(points.x[best], points.y[best], points.hue, points.style, front="post" if signs[0] > 0 else "pre", notes=shown)


def _sign(sheet: Sheet, name: str) -> int:
    """-1 where more is better."""
    return -1 if name in sheet.measures and sheet.measures[name].more else 1


def _axis(sheet: Sheet, wanted: Figure, which: str) -> tuple[Axis, Array]:
    """An axis, and the place of every point on it: a number, the size of a chip's field, or the rank of a word."""
    name = getattr(wanted, which)
    if name in sheet.measures:
        return _number_axis(sheet, wanted, which)
    words = [word(v) for v in sheet.columns[name]]
    order = in_order(words)
    sizes = [number_of(w) for w in order]
    place = {w: float(i) if None in sizes else s or 0.0 for i, (w, s) in enumerate(zip(order, sizes, strict=True))}
    wide = None not in sizes and len(place) > 2 and max(place.values()) >= 4 * min(place.values()) > 0
    return Axis(name, "log2" if wide else "linear", tuple((v, w) for w, v in place.items())), np.array([place[w] for w in words])


def _number_axis(sheet: Sheet, wanted: Figure, which: str) -> tuple[Axis, Array]:
    name = getattr(wanted, which)
    values = np.array(sheet.columns[name], np.float64)
    by, label = scaled(sheet.measures[name], values.tolist())
    wide = bool(values.min() > 0 and values.max() >= WIDE * values.min())
    log = wide if wanted.log == "auto" else wanted.log != "none" and which in wanted.log
    if log and not values.min() > 0:
        raise HwsimError("--log", f"must be an axis of numbers above 0, which {name} is", "always")
    steps = np.unique(values) if name.endswith("_bits") else np.zeros(0)
    whole = len(steps) <= MOST_TICKS and not (steps % 1).any()
    return Axis(label, "log" if log else "linear", tuple((float(v), f"{v:g}") for v in steps) if whole else ()), values / by


def _groups(sheet: Sheet, name: str) -> tuple[list[str], Array]:
    """The words of a column as a legend has them, and the number of each point's word."""
    if not name:
        return [], np.zeros(len(sheet.columns["precision"]), np.int64)
    words = [word(v) for v in sheet.columns[name]]
    order = {w: i for i, w in enumerate(in_order(words))}
    said = [f"{w} {MEASURES[name].title}" if name in MEASURES else f"{name} = {w}" if name in sheet.fields else w for w in order]
    return said, np.array([order[w] for w in words])


def _style(sheet: Sheet, x: Array, hue: Array) -> str:
    """What tells points of one colour and place apart, when one thing does."""
    places = list(zip(x.tolist(), hue.tolist(), strict=True))
    if len(set(places)) == len(places):
        return ""
    for name in sheet.varied:
        column = sheet.columns[name]
        if len(set(zip(places, column, strict=True))) == len(places) and len(set(column)) <= MOST_STYLES:
            return name
    sheet.remarks.append(f"several points share a place: lines are medians, bands reach from the least to the most{_apart(sheet)}")
    return ""


def _apart(sheet: Sheet) -> str:
    return f" (--hue, --style or --where with {' or '.join(sheet.varied)} would tell them apart)" if sheet.varied else ""


def _heat_map(sheet: Sheet, wanted: Figure, form: str) -> bytes:
    """The median of the coloured number in each cell."""
    if wanted.hue not in sheet.measures:
        raise HwsimError("--hue", "must be the number that colours a heat map, such as energy", repr(wanted.hue))
    x, y, values = ([*sheet.columns[n]] for n in (wanted.x, wanted.y, wanted.hue))
    by, label = scaled(sheet.measures[wanted.hue], values)
    cells: dict[tuple[str, str], list[float]] = {}
    for row, column, v in zip(y, x, values, strict=True):
        cells.setdefault((word(row), word(column)), []).append(v / by)
    if any(max(v) > min(v) for v in cells.values()):
        sheet.remarks.append(f"several points share a cell, which shows their median{_apart(sheet)}")
    rows, columns = in_order(y), in_order(x)
    grid = np.array([[np.median(cells.get((r, c), [np.nan])) for c in columns] for r in rows])
    return draw_grid(Grid(grid, tuple(rows), tuple(columns), label), sheet.title(wanted.x), sheet.title(wanted.y), form, wanted.size)
