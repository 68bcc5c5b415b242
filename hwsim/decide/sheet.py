"""The columns of a sweep's file that a figure needs, of the points that it shows, with remarks on those that it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.decide.measures import MEASURES, WORDS, known, number_of, of_metric
from hwsim.errors import HwsimError, counted
from hwsim.io.store import read_sweep

__all__ = ["Names", "Sheet", "in_order", "word"]

OWN = "the chip's own"
APART = ("activation_bits", "weight_bits", "method", "model", "arch", "data")


class Names:
    """What a sweep's file calls its columns: numbers, words, and the chip fields that were varied.

    Raises HwsimError for a file that is no sweep.
    """

    def __init__(self, path: Path) -> None:
        self.measures = dict(MEASURES)
        self.fields = sorted({name for (held,) in read_sweep(path, "SELECT DISTINCT fields FROM context")[1] for name in json.loads(held)})

    def known(self, option: str, name: str, more: tuple[str, ...] = ()) -> str:
        """The name, when the file has it.  Raises HwsimError."""
        return known(option, name, (*MEASURES, *WORDS, *self.fields, *more))

    def sql(self, name: str) -> str:
        """The expression of SQL for a column."""
        if name in self.fields:
            return f"json_extract(fields, '$.\"{name}\"')"
        return self.measures[name].sql if name in self.measures else name

    def condition(self, where: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
        """The condition of SQL for points whose words are among the given ones, and its values.  Raises HwsimError for other names."""
        parts, values = ["1"], list[str]()
        for name, words in where.items():
            self.known("--where", name, ("metric", "status"))
            parts.append(f"CAST({self.sql(name)} AS TEXT) IN ({', '.join('?' * len(words))})")
            values += words
        return " AND ".join(parts), values


class Sheet:
    """Columns by name, of points that have all numbers that are wanted.

    `varied` are the columns that are not drawn and differ between points.  Raises HwsimError for names that the file does not hold, and
    when no point is left.
    """

    def __init__(self, path: Path, wanted: Mapping[str, str], where: Mapping[str, Sequence[str]]) -> None:
        self.path, self.remarks, self._file = path, list[str](), Names(path)
        self.measures, self.fields = self._file.measures, self._file.fields
        for option, name in wanted.items():
            self._file.known(option, name)
        self._kept, self._values = self._file.condition(where)
        self._drawn = list(dict.fromkeys(wanted.values()))
        if "accuracy" in self._drawn:
            self.measures["accuracy"] = of_metric(MEASURES["accuracy"], {m for (m,) in self._ask("DISTINCT metric") if m})
        self.columns = self._read()

    @property
    def varied(self) -> list[str]:
        """What else differs between the points."""
        return [n for n in (*APART, *self.fields) if n not in self._drawn and len(set(self.columns[n])) > 1]

    def title(self, name: str) -> str:
        """What an axis calls a column."""
        return self.measures[name].title if name in self.measures else name

    def _ask(self, what: str) -> list[tuple[Any, ...]]:
        return read_sweep(self.path, f"SELECT {what} FROM sweep WHERE status = 'ok' AND {self._kept}", self._values)[1]

    def _read(self) -> dict[str, list[Any]]:
        names = list(dict.fromkeys((*self._drawn, *APART, *self.fields, "precision", "id")))
        rows = self._ask(", ".join(map(self._file.sql, names)))
        needed = [names.index(n) for n in self._drawn if n not in self.fields]
        whole = [r for r in rows if all(r[i] is not None for i in needed)]
        if not whole:
            hint = "sweep with --data for accuracy" if rows and "accuracy" in self._drawn else f"it holds {self._held()}"
            raise HwsimError(self.path, f"must hold points with {', '.join(self._drawn)}", "none", hint)
        if len(whole) < len(rows):
            self.remarks.append(f"{counted(len(rows) - len(whole), 'point')} without {' or '.join(self._drawn)} not drawn")
        count, message = read_sweep(
            self.path, f"SELECT count(*), min(message) FROM sweep WHERE status = 'failed' AND {self._kept}", self._values
        )[1][0]
        if count:
            self.remarks.append(f"{counted(count, 'failed point')} not drawn ({message})")
        return dict(zip(names, map(list, zip(*whole, strict=True)), strict=True))

    def _held(self) -> str:
        """What the file has, for one whose condition leaves nothing."""
        rows = read_sweep(self.path, "SELECT DISTINCT arch, model FROM sweep LIMIT 20")[1]
        return ", ".join(dict.fromkeys(w for r in rows for w in r)) or "no points"


def word(value: Any) -> str:
    """A value as figures and `--where` write it."""
    return OWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def in_order(values: Sequence[Any]) -> list[str]:
    """The words of a column, each once: by size where all have one, as they came otherwise."""
    words = list(dict.fromkeys(map(word, values)))
    sizes = {w: s for w in words if (s := number_of(w)) is not None}
    return sorted(words, key=lambda w: sizes[w]) if len(sizes) == len(words) else words
