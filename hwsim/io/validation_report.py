"""The validation pages: validation.md for reading in the repository, validation.html with predicted-against-measured plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwsim.io.files import write_whole
from hwsim.io.pages import Markup, page
from hwsim.io.plots import agreement_plot
from hwsim.validation import Family, Figure

__all__ = ["COLUMNS", "figure_rows", "write_validation"]

COLUMNS = ("against", "figure", "n", "value", "unit", "must", "aim", "verdict", "worst")


def figure_rows(families: Sequence[Family]) -> list[list[str]]:
    """One row of text per figure in the order of COLUMNS."""
    return [[f.name, *_cells(g)] for f in families for g in f.figures]


def _cells(g: Figure) -> list[str]:
    value = "" if g.value is None else _number(g.value)
    worst = g.worst
    shown = f"{worst.label}: {100 * worst.error:+.3g} %" if worst is not None and worst.error else ""
    return [g.name, f"{g.count}", value, g.unit, _number(g.must), _number(g.aim), g.verdict, g.absent or shown]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def write_validation(families: Sequence[Family], folder: Path, name: str = "validation") -> None:
    """Write both pages.  Raises HwsimError when the folder cannot be written."""
    write_whole(folder / f"{name}.md", _markdown(families))
    write_whole(folder / f"{name}.html", _html(families))


def _summary(families: Sequence[Family]) -> str:
    counts = Counter(g.verdict for f in families for g in f.figures)
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())


def _markdown(families: Sequence[Family]) -> str:
    lines = ["# Validation", "", f"hwsim {version('hwsim')}, by `hwsim validate`. {_summary(families)}.", ""]
    for f in families:
        lines += [f"## {f.title}", "", f"Against {f.against}. Source: {f.source}", ""]
        lines += _table(COLUMNS[1:], [_cells(g) for g in f.figures])
        lines += ["", *(f"* {g.name}: {g.note}" for g in f.figures if g.note), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(columns), _line(["---"] * len(columns)), *(_line(r) for r in rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(c.replace('|', '/') for c in cells)} |"


def _html(families: Sequence[Family]) -> str:
    shown: list[dict[str, Any]] = [{"f": f, "rows": [_cells(g) for g in f.figures], "plots": _plots(f)} for f in families]
    return page("validation.html.j2", version=version("hwsim"), summary=_summary(families), columns=COLUMNS[1:], families=shown)


def _plots(family: Family) -> list[tuple[str, Markup]]:
    return [(g.name, Markup(agreement_plot(g.points))) for g in family.figures if g.points]
