"""Every validation on the shelf, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hwsim.errors import HwsimError, suggest
from hwsim.shelf import load, names
from hwsim.validation import Family, Tables

__all__ = ["chosen", "validate"]


def chosen(wanted: Iterable[str]) -> tuple[str, ...]:
    """The families asked for, all of them for none.  Raises HwsimError for an unknown one."""
    known = names("validations")
    for name in wanted:
        if name not in known:
            raise HwsimError("validate", f"must be one of {', '.join(known)}", repr(name), suggest(name, known))
    return tuple(n for n in known if n in set(wanted)) or known


def validate(families: Iterable[str], tables: Tables, progress: Callable[[int, int], None] | None = None) -> tuple[Family, ...]:
    """The figures of the families named; `progress(done, total)` is called after each."""
    wanted, found = chosen(families), []
    for done, name in enumerate(wanted, 1):
        module = load("validations", name)
        found.append(Family(name, module.TITLE, module.KIND, module.SOURCE, tuple(module.figures(tables))))
        if progress:
            progress(done, len(wanted))
    return tuple(found)
