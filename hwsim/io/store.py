"""The door to SQLite: the results of a sweep, one row a point, each there for good as soon as it is done.

`context` says what points have in common (chip, network, method, data), `point` what each of them is and gave.  The view `sweep` joins
them for SQL, `hwsim plot` and exports.  `assignment` has the bits of mixed points, one byte for each of the `widths` of their context.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError
from hwsim.io.files import refusal

__all__ = ["CONTEXT", "POINT", "Cells", "Store", "open_store", "read_sweep"]

SCHEMA = 2
CONTEXT = ("id", "version", "arch", "arch_hash", "fields", "model", "model_hash", "method", "data", "data_hash", "samples", "area_mm2")
POINT = (
    *("key", "context", "precision", "weight_bits", "activation_bits", "status", "message", "seconds"),
    *("latency_s", "energy_j", "cycles", "size_bytes", "offchip_bytes", "bitops", "peak_onchip_bytes", "metric", "accuracy", "scored"),
)
_TYPES = {"id": "id TEXT PRIMARY KEY", "area_mm2": "area_mm2 REAL"}
_CREATE = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS context ({", ".join(_TYPES.get(c, f"{c} TEXT") for c in CONTEXT)});
CREATE TABLE IF NOT EXISTS point ({", ".join(POINT)});
CREATE TABLE IF NOT EXISTS widths (context TEXT PRIMARY KEY, nodes TEXT);
CREATE TABLE IF NOT EXISTS assignment (point INTEGER PRIMARY KEY, bits BLOB);
CREATE VIEW IF NOT EXISTS sweep AS SELECT p.rowid AS id, c.id AS context_id,
  {", ".join([*(f"c.{n}" for n in CONTEXT[1:]), *(f"p.{n}" for n in POINT[2:])])}
  FROM point p JOIN context c ON c.id = p.context;
"""


class Store:
    """An open sweep file.  One driver at a time holds it; others may read."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._db = path, connection

    def versions(self) -> set[str]:
        """The versions whose results the file holds."""
        return {row[0] for row in self._ask("SELECT DISTINCT version FROM context")}

    def keys(self) -> set[bytes]:
        """The keys of the points that are done.  Rows are only ever added, so that no index is rewritten; the driver keeps keys apart."""
        return {row[0] for row in self._ask("SELECT key FROM point")}

    def forget_failed(self) -> None:
        """Take the failed points out, to be tried again."""
        self._ask("DELETE FROM assignment WHERE point IN (SELECT rowid FROM point WHERE status = 'failed')")
        self._ask("DELETE FROM point WHERE status = 'failed'")

    def add(self, context: Sequence[Any], points: Sequence[Sequence[Any]], bits: Sequence[bytes] = (), widths: str = "") -> None:
        """Points that are done, with what they have in common: all are in the file when this returns or, after an error, none.

        `bits` are the assignments of mixed points, and `widths` what each of their bytes is.
        """
        with _told(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"INSERT OR IGNORE INTO context VALUES ({', '.join('?' * len(CONTEXT))})", context)
            first = self._db.execute("SELECT coalesce(max(rowid), 0) + 1 FROM point").fetchone()[0]
            self._db.executemany(f"INSERT INTO point VALUES ({', '.join('?' * len(POINT))})", points)
            if bits:
                self._db.execute("INSERT OR IGNORE INTO widths VALUES (?, ?)", (context[0], widths))
                self._db.executemany("INSERT INTO assignment VALUES (?, ?)", enumerate(bits, first))

    def _ask(self, statement: str) -> list[Any]:
        with _told(self.path):
            return self._db.execute(statement).fetchall()


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """A sweep file to write to, made where there is none.

    Raises HwsimError for a file of another kind, for a place that cannot be written, and while another driver holds the file.
    """
    if path.is_dir():
        raise HwsimError(path, "must be a file that can be written", "a folder")
    with _told(path), _held(path):
        connection = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            _check_schema(path, connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 16384")
            connection.executescript(_CREATE)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            yield Store(path, connection)
            connection.execute("PRAGMA journal_mode = DELETE")  # one plain file, that can be read where nothing can be written
        finally:
            connection.close()


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not names:
        return
    found = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if "meta" in names else None
    if found is None or found[0] != str(SCHEMA):
        raise HwsimError(path, f"must be a sweep file of schema {SCHEMA}", f"one of schema {found[0]}" if found else "another database")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """The file held against other drivers, for as long as this process lives and no longer."""
    try:
        import fcntl
    except ImportError:  # a system without file locks
        yield
        return
    beside = path.with_name(f".{path.name}.lock")
    while True:
        try:
            lock = os.open(beside, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as e:
            raise refusal(path, "must be a file that can be written", e) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise HwsimError(path, "must be free", "held by another sweep", "wait for it, or write to another file") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(beside.stat(), os.fstat(lock)):  # not one that its holder took away meanwhile
                break
        os.close(lock)
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's complaints about a file as one line."""
    try:
        yield
    except sqlite3.Error as e:
        raise HwsimError(path, "must be a sweep file that can be written", f"one of which SQLite says '{e}'") from None


def read_sweep(path: Path, statement: str = "SELECT * FROM sweep", values: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of a sweep file, also while a sweep writes to it or after one was killed; `values` stand for question marks.

    Raises HwsimError for a file that is none, and for a statement that would change it.
    """
    if not path.is_file():
        raise HwsimError(path, "must be a sweep file (hwsim sweep -o)", "a missing one")
    with _told(path):
        connection = sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True)  # what a killed driver left half-done is rolled back
        try:
            connection.execute("PRAGMA query_only = ON")
            answer = connection.execute(statement, values)
            return [c[0] for c in answer.description], answer.fetchall()
        finally:
            connection.close()


class Cells:
    """Results by the hash of all that decided them, as text; each is there for good when `put` returns.  Any number of processes may
    share a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise HwsimError(path.parent, "must be a folder that can be written", f"one that gives '{e.strerror}'") from None
        with _told(path):
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS cell (key BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def get(self, key: bytes) -> str | None:
        """What was kept under a key."""
        with _told(self.path):
            found = self._db.execute("SELECT value FROM cell WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def put(self, key: bytes, value: str) -> None:
        """Keep a result."""
        with _told(self.path):
            self._db.execute("INSERT OR REPLACE INTO cell VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Leave the file."""
        self._db.close()
