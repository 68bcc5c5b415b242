"""Quantities as datasheets print them, turned into the four units used inside: bits, cycles, pJ and Hz.

KiB is 1024 B and KB is 1000 B.  A bare number where a unit belongs is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hwsim.errors import HwsimError, suggest

__all__ = ["Rate", "format_bytes", "format_si", "parse"]

LARGEST = 1e30
_SI = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SIZES = {
    p + unit: scale * bits
    for unit, bits in (("B", 8), ("byte", 8), ("bytes", 8), ("b", 1), ("bit", 1), ("bits", 1))
    for p, scale in {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, **_BINARY}.items()
}


def _si(unit: str, scale: float = 1.0, prefixes: str = "fpnuµmkKMGT") -> dict[str, float]:
    return {p + unit: _SI[p] * scale for p in ["", *prefixes]}


_PER_BIT = {f"{e}/{b}": pj / bits for e, pj in _si("J", 1e12, "fpnum").items() for b, bits in (("bit", 1), ("b", 1), ("B", 8), ("byte", 8))}
_DIMENSIONS: dict[str, tuple[dict[str, float], str]] = {
    "size": (_SIZES, "a size such as 512 KiB"),
    "frequency": (_si("Hz", prefixes="kKMG"), "a frequency such as 1.2 GHz"),
    "energy": (_si("J", 1e12, "fpnum"), "an energy such as 0.2 pJ"),
    "energy_per_bit": (_PER_BIT, "an energy per bit such as 15 pJ/bit"),
    "power": (_si("W", prefixes="nuµmk"), "a power such as 2.5 W"),
    "voltage": (_si("V", prefixes="mu"), "a voltage such as 0.9 V"),
    "length": (_si("m", 1e9, "num"), "a length such as 45 nm"),
    "area": ({"um2": 1e-6, "um^2": 1e-6, "mm2": 1.0, "mm^2": 1.0}, "an area such as 36 um2"),
}
_NUMBER = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")


@dataclass(frozen=True)
class Rate:
    """An amount per clock cycle or per second, as printed; `per_cycle(clock_hz)` is what the models use."""

    amount: float
    per_second: bool

    def per_cycle(self, clock_hz: float) -> float:
        """The amount per cycle of a clock in Hz."""
        return self.amount / clock_hz if self.per_second else self.amount

    def cycles(self, clock_hz: float) -> float:
        """For a duration: its length in cycles of a clock in Hz (an amount of seconds, or of cycles)."""
        return self.amount * clock_hz if self.per_second else self.amount


def _split(text: object, wanted: str) -> tuple[float, str]:
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if match is None or not match[2]:
        found = "null" if text is None else repr(text)
        raise HwsimError("", f"must be {wanted}", found, "give the number with its unit")
    number = float(match[1].replace("_", ""))
    if number < 0:
        raise HwsimError("", f"must be {wanted} and not negative", repr(text))
    if number > LARGEST:
        raise HwsimError("", f"must be {wanted} and at most {LARGEST:g} of its unit", repr(text))
    return number, match[2]


def _no_unit(text: object, wanted: str, unit: str, dimension: str, known: Iterable[str]) -> HwsimError:
    """The complaint about a unit that is not one of the dimension's, with the nearest that is."""
    close = suggest(unit, known)
    return HwsimError("", f"must be {wanted}", repr(text), f"'{unit}' is not a unit of {dimension}" + (f", {close}" if close else ""))


def parse(text: object, dimension: str) -> float:
    """The value of a printed quantity in the inside unit of its dimension: bits, Hz, pJ, pJ/bit, W, V, nm or mm2."""
    table, wanted = _DIMENSIONS[dimension]
    number, unit = _split(text, wanted)
    if unit not in table:
        raise _no_unit(text, wanted, unit, dimension.replace("_", " "), table)
    return number * table[unit]


def parse_rate(text: object, thing: str) -> Rate:
    """A bandwidth (`64 B/cycle`, `34.1 GB/s`) in bits, or a count (`128 elements/cycle`, `2 Gop/s`) per cycle or per second."""
    wanted = {"bits": "a bandwidth such as 64 B/cycle or 34.1 GB/s", "count": "a rate such as 128 /cycle"}[thing]
    number, unit = _split(text, wanted)
    amount, _, time = unit.rpartition("/")
    scale = _SIZES.get(amount) if thing == "bits" else _SI.get(re.sub(r"(MACs?|ops?|elements?)$", "", amount).strip())
    if scale is None or time not in ("cycle", "s"):
        raise HwsimError("", f"must be {wanted}", repr(text))
    return Rate(number * scale, time == "s")


def parse_duration(text: object) -> Rate:
    """A duration in seconds (`20 us`) or in cycles (`300 cycles`)."""
    wanted = "a duration such as 20 us or 300 cycles"
    number, unit = _split(text, wanted)
    if unit in ("cycle", "cycles"):
        return Rate(number, False)
    seconds = _si("s", prefixes="pnuµm")
    if unit not in seconds:
        raise _no_unit(text, wanted, unit, "time", ("cycles", *seconds))
    return Rate(number * seconds[unit], True)


def format_bytes(count: float) -> str:
    """A number of bytes for people: 1536 -> `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.4g} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def format_si(value: float, unit: str) -> str:
    """A value for people with an SI prefix: 1.2e-5 s -> `12 us`."""
    if value == 0:
        return f"0 {unit}"
    for prefix in ("T", "G", "M", "k", "", "m", "u", "n", "p", "f"):
        if abs(value) >= _SI[prefix] * 0.99995:
            return f"{value / _SI[prefix]:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"
