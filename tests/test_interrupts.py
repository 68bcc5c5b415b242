"""Ctrl-C: told to a process that is at a place from which Python itself would not come back soon, or ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BEGIN = """
import os, signal, sqlite3, sys
from threading import Timer
from hwsim.io.interrupts import INTERRUPTED, leave, resumable, watched
def endless():
    Timer(0.1, print, ("ready",), {"flush": True}).start()  # from within the call, which lets other threads run
    sqlite3.connect(":memory:").execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n").fetchall()
"""
PROGRAMS = {
    "one long call of a library": """
try:
    endless()
except KeyboardInterrupt:  # it came before the call
    leave()
""",
    "an exception that is lost": """
while True:
    try:
        endless()
    except KeyboardInterrupt:
        pass
""",
    "an object that is taken apart": """
class Held:
    def __del__(self):
        print("ready", flush=True)
        signal.pause()
Held()
while True:
    signal.pause()
""",
    "files that do not close": """
try:
    endless()
finally:
    endless()
""",
    "at once, where Python can": """
try:
    print("ready", flush=True)
    signal.pause()
finally:
    leave()
""",
}


def interrupted(program: str) -> tuple[int, str]:
    """The exit code and the complaint of a process that is interrupted as soon as it says that it is ready."""
    words = [sys.executable, "-c", BEGIN + program]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stdout=-1, stderr=-1) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGINT)
        return run.wait(), run.communicate()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("place", PROGRAMS)
def test_it_ends(place: str) -> None:
    indented = PROGRAMS[place].strip().replace("\n", "\n    ")
    program = f"with watched(), resumable('all is kept'):\n    {indented}"
    assert interrupted(program) == (130, "hwsim: interrupted; all is kept\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_children_are_deaf_and_others_hear_as_before() -> None:
    program = """
import subprocess, time
from hwsim.io.interrupts import deaf_children
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
with deaf_children():
    child = subprocess.Popen([sys.executable, "-c", "input(); print('whole')"], stdin=-1, stdout=-1, text=True)
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
child.send_signal(signal.SIGINT)
assert child.communicate("\\n")[0] == "whole\\n"
with watched():
    pass
assert signal.set_wakeup_fd(-1) == -1
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""
    code, complaint = interrupted(program)
    assert code == -signal.SIGINT and "KeyboardInterrupt" in complaint
