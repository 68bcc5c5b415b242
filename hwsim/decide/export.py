"""Cost tables and sweeps as files: CSV, Parquet or JSON, and HAQ's array for a cost table."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.table import CostTable
from hwsim.errors import HwsimError, suggest
from hwsim.io.files import write_whole
from hwsim.io.parquet import to_parquet
from hwsim.io.text import to_csv

__all__ = ["EXPORTS", "as_file", "export_table"]

EXPORTS = ("haq", "csv", "parquet", "json")
COLUMNS = ("layer", "weight_bits", "activation_bits", *QUANTITIES)


def export_table(table: CostTable, form: str, path: Path) -> None:
    """Write a table.  `haq` is NumPy's format, int64 cycles of shape (layers, 8, 8): `[layer, weight bits - 1, activation bits - 1]`,
    as mit-han-lab/haq's lookup tables, -1 where the chip does not run; the others have a row for each layer and pair of widths.

    Raises HwsimError for an unknown form and for a place that cannot be written.
    """
    if form not in EXPORTS:
        raise HwsimError("--export", f"must be one of {', '.join(EXPORTS)}", repr(form), suggest(form, EXPORTS))
    write_whole(path, _haq(table) if form == "haq" else as_file(COLUMNS, [*_rows(table)], form))


def as_file(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> str | bytes:
    """A table as csv, json or parquet."""
    if form == "csv":
        return to_csv(columns, rows)
    if form == "json":
        return json.dumps([dict(zip(columns, r, strict=True)) for r in rows], indent=1) + "\n"
    return to_parquet(columns, rows)


def _haq(table: CostTable) -> bytes:
    cycles = table.cells("cycles")
    found = np.full((len(cycles), max(8, *table.weight_bits), max(8, *table.activation_bits)), -1, np.int64)
    at = np.ix_(range(len(cycles)), [b - 1 for b in table.weight_bits], [b - 1 for b in table.activation_bits])
    found[at] = np.where(np.isfinite(cycles), cycles, -1)
    out = io.BytesIO()
    np.save(out, found)
    return out.getvalue()


def _rows(table: CostTable) -> Iterator[tuple[Any, ...]]:
    cells = [table.cells(q) for q in QUANTITIES]
    for i, layer in enumerate(table.layers):
        for j, w in enumerate(table.weight_bits):
            for k, a in enumerate(table.activation_bits):
                if np.isfinite(cells[0][i, j, k]):
                    yield layer, w, a, *(_plain(c[i, j, k]) for c in cells)


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
