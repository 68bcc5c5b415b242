"""Shelves: a folder in which one file is one variant, and the file's name is its name everywhere.

There is no registration and no base class.  A file whose name starts with an underscore is shared code, not a variant.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from hwsim.errors import HwsimError, suggest

__all__ = ["SHELVES", "load", "names"]

SHELVES = ("ops", "arithmetics", "formats", "quantizers", "arrays", "mappers", "searches", "topologies", "validations")


@cache
def names(shelf: str) -> tuple[str, ...]:
    """The names of the variants on a shelf, sorted."""
    if shelf not in SHELVES:
        raise HwsimError("shelf", f"must be one of {', '.join(SHELVES)}", repr(shelf), suggest(shelf, SHELVES))
    folder = import_module(f"hwsim.{shelf}")
    return tuple(sorted(m.name for m in iter_modules(folder.__path__) if not m.name.startswith("_")))


@cache
def load(shelf: str, name: str) -> ModuleType:
    """The module of one variant.  Raises HwsimError with a suggestion for a name that is not on the shelf."""
    if name not in names(shelf):
        raise HwsimError(shelf, f"must be one of {', '.join(names(shelf))}", repr(name), suggest(name, names(shelf)))
    return import_module(f"hwsim.{shelf}.{name}")
