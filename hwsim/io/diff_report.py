"""A comparison as text."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from math import isfinite
from typing import Any

from hwsim.io.text import console, print_table, to_csv
from hwsim.steps.diff import Comparison, Difference

__all__ = ["print_diff"]

COLUMNS = (
    "tensor",
    "sqnr_db",
    "cosine",
    "largest_lsb",
    "largest",
    "differing_percent",
    "saturated_percent",
    "isolated_largest_lsb",
    "isolated_differing_percent",
)


def _number(value: float | None, digits: int = 4) -> Any:
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isfinite(value) else "inf" if value > 0 else "-inf"


def _row(d: Difference, alone: Difference | None) -> list[Any]:
    isolated = ["", ""] if alone is None else [_number(alone.largest_lsb), _number(100 * alone.differing)]
    return [
        d.name,
        _number(d.sqnr_db),
        _number(d.cosine, 6),
        _number(d.largest_lsb),
        _number(d.largest),
        _number(100 * d.differing),
        _number(100 * d.saturated),
        *isolated,
    ]


def print_diff(found: Comparison, form: str, validation: str = "") -> None:
    """Print a comparison as table, json or csv."""
    rows = [_row(d, found.isolated.get(d.name)) for d in found.cumulative]
    first = found.first_differing
    if form == "csv":
        sys.stdout.write(to_csv(COLUMNS, rows))
    elif form == "json":
        tensors = [
            {**_plain(d), "isolated": _plain(found.isolated[d.name]) if d.name in found.isolated else None} for d in found.cumulative
        ]
        print(
            json.dumps(
                {
                    "first": found.first,
                    "second": found.second,
                    "validation": validation,
                    "equal": found.equal,
                    "first_differing": None if first is None else first.name,
                    "tensors": tensors,
                },
                indent=1,
            )
        )
    else:
        if validation:
            console().print(f"{found.first}: {validation}", markup=False)
        print_table(COLUMNS, rows, f"{found.first} against {found.second}")
        where = "every tensor is equal" if first is None else f"first difference: tensor '{first.name}' at element {first.first}"
        console().print(f"\n{len(rows)} tensors compared; {where}")


def _plain(d: Difference) -> dict[str, Any]:
    return {k: v if not isinstance(v, float) or isfinite(v) else None for k, v in asdict(d).items()}
