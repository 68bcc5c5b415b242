"""Two's complement integers: int1 to int64."""

from __future__ import annotations

from hwsim.formats._integer import integer
from hwsim.quant import Format


def parse(suffix: str) -> Format:
    return integer("int", suffix, signed=True)
