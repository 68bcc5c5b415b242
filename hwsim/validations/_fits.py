"""What fitted rows share: measurements of one chip out of a table, and points of several chips together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwsim.fitting import fit_chip, prior_chip
from hwsim.measured import Measured, measured_rows
from hwsim.steps.fit import Fitted
from hwsim.validation import Point, Row

__all__ = ["by_precision", "fitted", "rows_of"]


def rows_of(table: Sequence[Row], **where: str) -> list[Measured]:
    """The measurements whose columns start so."""
    return measured_rows(table, where)


def fitted(arch: str, rows: Sequence[Measured], only: Iterable[str] = ()) -> Fitted:
    """A preset, from its priors, fitted to the rows and cross-validated."""
    prior, parameters = prior_chip(arch, only)
    return fit_chip(prior, parameters, rows)


def by_precision(found: Fitted, precision: str) -> list[Point]:
    """Left-out predictions of the samples of one precision."""
    return [p for s, p in zip(found.samples, found.left_out_points, strict=True) if s.precision == precision]
