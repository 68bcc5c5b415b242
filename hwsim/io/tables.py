"""The door to tables of outside figures: CSV files, the project's own and the large ones that a user may have."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwsim.errors import HwsimError
from hwsim.io.files import read_whole
from hwsim.validation import Row, Tables

__all__ = ["load_tables", "own_folder", "read_table"]

LARGEST = 1 << 25


def own_folder() -> Path:
    """Where the project's tables lie: in the wheel beside the package, in a checkout in reports/."""
    inside = Path(__file__).resolve().parent.parent / "reports" / "validation"
    return inside if inside.is_dir() else inside.parents[2] / "reports" / "validation"


def read_table(path: Path) -> Sequence[Row]:
    """Rows by column name; lines that start with `#` are remarks.  Raises HwsimError for a row of another length than the header."""
    try:
        lines = [line for line in read_whole(path, LARGEST).decode().splitlines() if not line.startswith("#")]
    except UnicodeDecodeError:
        raise HwsimError(path, "must be a CSV file in UTF-8") from None
    rows = list(csv.DictReader(lines))
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise HwsimError(path, "must have as many fields in each row as in its header", f"another number in row {number}")
    return rows


class _Folder(Mapping[str, Sequence[Row]]):
    """The tables of a folder and those below it by their names, read when they are asked for."""

    def __init__(self, folder: Path | None) -> None:
        self.files = {p.stem: p for p in sorted(folder.rglob("*.csv"))} if folder else {}

    def __getitem__(self, name: str) -> Sequence[Row]:
        return read_table(self.files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def load_tables(peers: Path | None = None) -> Tables:
    """The project's tables, and those and the networks of a folder of peers.  Raises HwsimError for a folder that is none."""
    if peers is not None and not peers.is_dir():
        raise HwsimError(peers, "must be a folder of peer tables", "a file" if peers.exists() else "a missing one")
    networks = {p.stem: p for p in sorted(peers.rglob("*.tflite"))} if peers else {}
    return Tables(_Folder(own_folder()), _Folder(peers), networks)
