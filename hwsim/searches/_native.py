"""Compiled libraries that print: HiGHS (seen in SciPy 1.17) writes a line of debugging to standard output now and then, where data goes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unheard"]


@contextmanager
def unheard() -> Iterator[None]:
    """What compiled code prints meanwhile is dropped; what Python printed before is not."""
    if sys.platform == "win32":
        yield
        return
    sys.stdout.flush()
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        flush(None)  # while its buffer still goes nowhere
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
