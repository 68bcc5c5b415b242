"""Unsigned integers: uint1 to uint64."""

from __future__ import annotations

from hwsim.formats._integer import integer
from hwsim.quant import Format


def parse(suffix: str) -> Format:
    return integer("uint", suffix, signed=False)
