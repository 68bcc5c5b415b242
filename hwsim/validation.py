"""How far the model is from what others measured: one figure per claim, with the points behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array

__all__ = ["Family", "Figure", "Point", "Row", "Tables", "equal", "mean_error", "missing", "rank_correlation", "without_table"]

Row = Mapping[str, str]


@dataclass(frozen=True)
class Point:
    """One number of the outside source and ours for the same thing."""

    label: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Relative: 0.03 is 3 % too much."""
        return self.predicted / self.measured - 1 if self.measured else float(self.predicted != 0)


@dataclass(frozen=True)
class Figure:
    """One row of the validation page: an error, share or correlation, and what it must and should reach.

    `absent` says why it could not be worked out here; `value` is then None.
    """

    name: str
    unit: str
    value: float | None
    must: float
    aim: float
    count: int
    better: Literal["low", "high"] = "low"
    points: Sequence[Point] = field(default=(), repr=False)
    note: str = ""
    absent: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not worked out here"
        return "aim reached" if self._reaches(self.aim) else "reached" if self._reaches(self.must) else "MISSED"

    def _reaches(self, wanted: float) -> bool:
        assert self.value is not None
        return self.value <= wanted if self.better == "low" else self.value >= wanted

    @property
    def worst(self) -> Point | None:
        """The point with the largest relative error."""
        return max(self.points, key=lambda p: abs(p.error), default=None)


@dataclass(frozen=True)
class Family:
    """The figures against one outside source; `kind` is silicon, simulator or vendor's estimator."""

    name: str
    title: str
    kind: str
    source: str
    figures: tuple[Figure, ...]

    @property
    def against(self) -> str:
        return self.kind if self.kind == "silicon" else f"a {self.kind}"


@dataclass(frozen=True)
class Tables:
    """Rows of outside figures by file name: the project's own, and the large peer tables where the user has them; and the user's
    TFLite networks."""

    own: Mapping[str, Sequence[Row]]
    peers: Mapping[str, Sequence[Row]]
    networks: Mapping[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Sequence[Row]:
        """A table of the project.  Raises HwsimError for one that it does not have."""
        if name not in self.own:
            raise HwsimError(f"table '{name}'", f"must be one of {', '.join(sorted(self.own)) or 'the project (there are none)'}")
        return self.own[name]

    def peer(self, name: str) -> Sequence[Row] | None:
        """A large peer table, None where it is absent."""
        return self.peers.get(name)


def missing(name: str, unit: str, must: float, aim: float, why: str, better: Literal["low", "high"] = "low") -> Figure:
    """A figure that cannot be worked out here, and why."""
    return Figure(name, unit, None, must, aim, 0, better, absent=why)


def without_table(name: str, table: str) -> Figure:
    """A figure of equal rows whose large table is not here."""
    return missing(name, "rows that differ", 0, 0, f"needs the peer table {table}.csv (give its folder with --peers)")


def equal(name: str, rows: Iterable[Sequence[Point]], note: str = "") -> Figure:
    """How many rows differ from the source's in any of their numbers; the first number of each row is drawn."""
    rows = [tuple(r) for r in rows]
    wrong = sum(any(p.measured != p.predicted for p in r) for r in rows)
    shown = tuple(next((p for p in r if p.measured != p.predicted), r[0]) for r in rows)
    return Figure(name, "rows that differ", wrong, 0, 0, len(rows), points=shown, note=note)


def mean_error(name: str, points: Iterable[Point], must: float, aim: float, note: str = "") -> Figure:
    """Mean absolute percentage error."""
    points = tuple(points)
    value = 100 * float(np.mean([abs(p.error) for p in points]))
    return Figure(name, "% mean absolute error", value, must, aim, len(points), points=points, note=note)


def rank_correlation(name: str, points: Iterable[Point], must: float, aim: float, note: str = "") -> Figure:
    """Spearman's rank correlation; equal numbers share their mean rank."""
    points = tuple(points)
    measured, predicted = (_ranks(np.array([getattr(p, side) for p in points])) for side in ("measured", "predicted"))
    return Figure(name, "rank correlation", float(np.corrcoef(measured, predicted)[0, 1]), must, aim, len(points), "high", points, note)


def _ranks(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: Array = np.cumsum(counts) - (counts - 1) / 2
    return middle[place]
