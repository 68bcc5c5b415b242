"""Ternary {-1, 0, +1} in two bits (TWN, Li et al. 2016)."""

from __future__ import annotations

from hwsim.formats._levels import from_levels
from hwsim.quant import Format


def parse(suffix: str) -> Format:
    assert not suffix, "ternary has no width"
    return from_levels("ternary", 2, [-1, 0, 1], "int8")
