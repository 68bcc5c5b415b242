"""Number formats: what one stored element can say and how many bits it takes.

A file defines `parse(suffix) -> Format` for the names that start with its own name: `int` reads int1 to int64, `float` reads
float32, float8e4m3fn, float4e2m1 and so on.
"""

from __future__ import annotations

import copyreg
import re
from functools import cache

from hwsim.errors import HwsimError, suggest
from hwsim.quant import Format
from hwsim.shelf import load, names

__all__ = ["get"]


@cache
def get(name: str) -> Format:
    """The number format of a name such as int8, uint4, bipolar or float8e4m3fn.  Raises HwsimError for an unknown name."""
    match = re.fullmatch(r"([a-z_]+?)(\d.*)?", name)
    if match is None or match[1] not in names("formats"):
        raise HwsimError("format", f"must start with one of {', '.join(names('formats'))}", repr(name), suggest(name, names("formats")))
    return load("formats", match[1]).parse(match[2] or "")


copyreg.pickle(Format, lambda fmt: (get, (fmt.name,)))  # by name, so that networks go to worker processes
