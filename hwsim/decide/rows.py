"""The points of a sweep's file as a table: chip fields in columns of their own, mixed assignments in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.decide.sheet import Names
from hwsim.io.store import read_sweep
from hwsim.precision import Precision

__all__ = ["FORMS", "assigned", "sweep_rows"]

FORMS = ("csv", "parquet", "json")


def sweep_rows(
    path: Path, where: Mapping[str, Sequence[str]] | None = None, ids: Collection[int] | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows, failed points too; `where` and `ids` keep some.  Raises HwsimError for a file that is no sweep."""
    names = Names(path)
    condition, values = names.condition(where or {})
    columns, rows = read_sweep(path, f"SELECT sweep.*, bits FROM sweep LEFT JOIN assignment ON point = id WHERE {condition}", values)
    at = {name: i for i, name in enumerate(columns)}
    plain = [i for name, i in at.items() if name not in ("id", "context_id", "fields", "bits")]
    words = _precisions(path)
    found = []
    for row in rows:
        if ids is None or row[at["id"]] in ids:
            held, whole = json.loads(row[at["fields"]]), list(row)
            if row[at["bits"]] is not None:
                whole[at["precision"]] = words(row[at["context_id"]], row[at["bits"]])
            found.append((*(whole[i] for i in plain), *(held.get(f) for f in names.fields)))
    return [*(columns[i] for i in plain), *names.fields], found


def _precisions(path: Path) -> Callable[[str, bytes], str]:
    nodes = {context: json.loads(held) for context, held in read_sweep(path, "SELECT context, nodes FROM widths")[1]}
    return lambda context, bits: str(assigned(nodes[context], bits))


def assigned(widths: Sequence[tuple[str, Sequence[str]]], bits: bytes) -> Precision:
    """The precision that gives each width, (kind, layers), its bits; the commonest pair is the default."""
    kinds: dict[str, dict[str, int]] = {"weights": {}, "activations": {}}
    for (kind, layers), b in zip(widths, bits, strict=True):
        kinds[kind].update(dict.fromkeys(layers, b))
    names = dict.fromkeys((*kinds["weights"], *kinds["activations"]))
    most = [max(k.values(), default=8) for k in kinds.values()]
    pairs = {n: (kinds["weights"].get(n, most[0]), kinds["activations"].get(n, most[1])) for n in names}
    default = Counter(pairs.values()).most_common(1)[0][0] if pairs else (most[0], most[1])
    return Precision(default, {n: p for n, p in pairs.items() if p != default})
