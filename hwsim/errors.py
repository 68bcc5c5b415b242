"""One kind of error for everything a user can get wrong: one clear line, never a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["HwsimError", "NotDeployable", "counted", "suggest"]


class HwsimError(Exception):
    """A fault in what the user gave, said in one line: `where: thing must be wanted, not found; hint`."""

    def __init__(self, where: object, must: str, found: object = None, hint: str | None = None) -> None:
        self.where, self.must, self.found, self.hint = str(where), must, found, hint
        text = f"{self.where}: {must}" if self.where else must
        if found is not None:
            text += f", not {found}"
        if hint:
            text += f"; {hint}"
        super().__init__(" ".join(text.splitlines()))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.where, self.must, self.found if self.found is None else str(self.found), self.hint)

    @classmethod
    def joined(cls, errors: Iterable[HwsimError]) -> HwsimError:
        """All of several faults in one line, so that a user mends them in one go."""
        return cls("", " | ".join(str(e) for e in errors))


class NotDeployable(HwsimError):
    """A finding, not a fault of the input: the chip cannot run the network at all."""


def counted(number: int | str, word: str) -> str:
    """A number of things: `1 input`, `2 inputs`."""
    return f"{number} {word}{'' if str(number) == '1' else 's'}"


def suggest(word: str, known: Iterable[str]) -> str | None:
    """A "did you mean" hint for a word that is not known, or None when nothing is close."""
    known = list(known)
    close = [k for k in known if k.lower() == str(word).lower()] or get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else None
