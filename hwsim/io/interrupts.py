"""Ctrl-C ends a command within a second: also inside a compiled kernel, while a million objects are taken apart, and while workers stop.

Python tells the main thread of a signal only between two of its instructions.  A second thread hears of it at once; when the main
thread has not ended the command shortly after, that one does.  Files are as after a kill: whole, at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from threading import Lock, Thread
from typing import NoReturn

__all__ = ["INTERRUPTED", "deaf_children", "leave", "resumable", "watched"]

INTERRUPTED = 130  # the exit code
PATIENCE = 0.4  # seconds for the main thread to close its files
SHOW_CURSOR = "\r\033[K\033[?25h"  # a progress bar hides it
_leaving = Lock()
_hints: list[str] = []


@contextmanager
def resumable(hint: str) -> Iterator[None]:
    """Work of which an interrupted command says what is left of it: an exception leaves the hint for what ends the command."""
    _hints.append(hint)
    yield
    _hints.pop()


def leave() -> NoReturn:
    """End this process as interrupted, now, without taking its objects apart."""
    _leaving.acquire()  # for good: the other thread says nothing more
    said = "; ".join(("hwsim: interrupted", *_hints)) + "\n"
    os.write(2, ((SHOW_CURSOR if os.isatty(2) else "") + said).encode())
    os._exit(INTERRUPTED)


@contextmanager
def watched() -> Iterator[None]:
    """A command that Ctrl-C ends soon, whatever its main thread does."""
    if sys.platform == "win32":  # signals are told to sockets alone
        yield
        return
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    watcher = Thread(target=_watch, args=(hear,), daemon=True)
    watcher.start()
    complain = sys.unraisablehook  # Python drops what is raised while an object is taken apart, and says so: of Ctrl-C the watcher knows
    sys.unraisablehook = lambda lost: None if lost.exc_type is KeyboardInterrupt else complain(lost)
    try:
        yield
    finally:
        sys.unraisablehook = complain
        signal.set_wakeup_fd(before)
        os.close(tell)
        watcher.join()
        os.close(hear)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes started meanwhile do not hear Ctrl-C, which a terminal tells to all: they end with this one, and complain of nothing."""
    from multiprocessing.resource_tracker import ensure_running

    if sys.platform == "win32":
        yield
        return
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(hear: int) -> None:
    """Wait for Ctrl-C, then a moment for the end of the command; a second Ctrl-C is not waited for."""
    while heard := os.read(hear, 1):
        if heard[0] == signal.SIGINT and (not select([hear], [], [], PATIENCE)[0] or os.read(hear, 1)):
            leave()
