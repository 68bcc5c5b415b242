"""What an event-driven run saw: which unit worked for which layer and when, between two bounds on the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Span", "Trace"]


@dataclass(frozen=True)
class Span:
    """A unit at work for a layer from one cycle to another, on `tiles` pieces, moving so many bits.

    A steady state that repeats is one span whose `busy` is the share of it in which the unit works.
    """

    unit: str
    layer: str
    work: str
    start: float
    end: float
    bits: float = 0.0
    tiles: int = 1
    busy: float = 1.0


@dataclass(frozen=True)
class Trace:
    """All spans, when each layer begins and ends, and how long everything takes at best and at worst, in cycles.

    `roofline` is the longest that one unit must work, or all layers' arithmetic; `serial` everything one after the other.
    `row_hits` is the share of accesses that find their row open, for memories that have rows.
    """

    spans: tuple[Span, ...]
    layers: tuple[tuple[str, int, int], ...]
    roofline: float
    serial: float
    row_hits: Mapping[str, float]
    contention: bool

    @property
    def cycles(self) -> int:
        return self.layers[-1][2] if self.layers else 0

    def busy(self, unit: str) -> float:
        """Cycles in which a unit works."""
        return sum((s.end - s.start) * s.busy for s in self.spans if s.unit == unit)

    def to_dict(self) -> dict[str, Any]:
        """What a result says of it; the spans are a file of their own."""
        units = dict.fromkeys(s.unit for s in self.spans)
        return {
            "roofline_cycles": self.roofline,
            "serial_cycles": self.serial,
            "unit_busy_cycles": {u: round(self.busy(u), 3) for u in units},
            "row_hits": {m: round(share, 6) for m, share in self.row_hits.items()},
        }
