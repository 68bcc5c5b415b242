"""A precision whose evaluation kills the process that tries it, unless that is the test's own."""

from __future__ import annotations

import os
import signal


class Deadly(str):
    """Reads as a precision; asked for its truth elsewhere, it kills."""

    driver: int

    def __new__(cls, text: str, driver: int) -> Deadly:
        found = super().__new__(cls, text)
        found.driver = driver
        return found

    def __reduce__(self) -> tuple[type[Deadly], tuple[str, int]]:
        return Deadly, (str.__str__(self), self.driver)

    def __bool__(self) -> bool:
        if os.getpid() != self.driver:
            os.kill(os.getpid(), signal.SIGKILL)
        return True
