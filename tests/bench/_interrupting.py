"""How long a command goes on after Ctrl-C, at several moments of it, and that its file is whole afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

__all__ = ["worst"]

TICK = os.sysconf("SC_CLK_TCK")


def worst(words: Sequence[str], out: Path, moments: Sequence[float]) -> tuple[float, str]:
    """The longest of the wall-clock times from Ctrl-C, told to all processes as a terminal does, to the end; and the moments in words."""
    found = [_one(words, out, m) for m in moments]
    wall, cpu, points = zip(*found, strict=True)
    said = ", ".join(f"{w:.2f} s ({n} points)" for w, n in zip(wall, points, strict=True))
    return max(wall), f"after {', '.join(f'{m:g}' for m in moments)} s: {said}; at most {max(cpu):.2f} s of CPU; wall clock"


def _one(words: Sequence[str], out: Path, moment: float) -> tuple[float, float, int]:
    """Wall-clock and CPU seconds, and how many points the file holds; before hwsim itself is loaded Python ends by the signal."""
    for file in out.parent.glob(f"*{out.name}*"):
        file.unlink()
    run = subprocess.Popen([sys.executable, "-m", "hwsim.cli", *words], stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(moment)
    before, start = _cpu(run.pid), time.perf_counter()
    os.killpg(run.pid, signal.SIGINT)
    status, used = os.wait4(run.pid, 0)[1:]
    wall = time.perf_counter() - start
    assert run.stderr is not None
    complaint = run.stderr.read()
    code = os.waitstatus_to_exitcode(status)
    assert (code == 130 and "hwsim: interrupted" in complaint) or (code == -signal.SIGINT and not out.exists()), complaint
    return wall, used.ru_utime + used.ru_stime - before, _points(out)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _points(out: Path) -> int:
    if not out.exists():
        return 0
    with closing(sqlite3.connect(out)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master")]
        return int(db.execute("SELECT count(*) FROM point").fetchone()[0]) if "point" in tables else 0
