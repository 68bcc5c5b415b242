"""What a layer and a network cost: cycles by part and energy by part, with the counted actions kept apart from their prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["CYCLE_PARTS", "Cost", "LayerCost", "Priced", "grid_pj", "total"]

CYCLE_PARTS = ("compute", "vector", "memory", "overhead")
_GRID = 1024.0


def grid_pj(energy: float) -> float:
    """An energy on a grid of 2^-10 pJ (1 fJ), so that sums of parts and of layers are exact in any order (up to 8 J)."""
    return round(energy * _GRID) / _GRID


def total(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Parts added up by name, in the order in which they first appear."""
    sums: dict[str, float] = {}
    for p in parts:
        for name, value in p.items():
            sums[name] = sums.get(name, 0) + value
    return sums


class Priced(NamedTuple):
    """So many actions of one kind at a price each; `price` names the block where the price stands."""

    part: str
    action: str
    number: int
    each_pj: float
    price: str

    @property
    def total_pj(self) -> float:
        return self.number * self.each_pj


@dataclass(frozen=True)
class LayerCost:
    """One row of a report.

    `cycles` adds up to the layer's time: what the array works, what the vector unit adds to it, what memory adds to both, and
    overheads.  `busy` is how long each unit works in itself, overlapped or not.  `read_bits` and `write_bits` are per memory.
    """

    name: str
    op: str
    unit: str
    output_shape: tuple[int, ...]
    weight_bits: int
    activation_bits: int
    accumulator_bits: int
    stored: str
    precision: str
    rate: float
    macs: int
    slots: int
    cycles: Mapping[str, int]
    busy: Mapping[str, int]
    bound_by: str
    read_bits: Mapping[str, int]
    write_bits: Mapping[str, int]
    actions: Mapping[str, int]
    energy_pj: Mapping[str, float]
    weight_storage_bits: int
    onchip_bits: int
    fits: bool
    note: str = ""
    mapped_slots: int = 0

    @property
    def total_cycles(self) -> int:
        return sum(self.cycles.values())

    @property
    def total_pj(self) -> float:
        return sum(self.energy_pj.values())

    @property
    def utilisation(self) -> float:
        """MACs done over MACs that the array could have done in the layer's compute cycles; 0 off the array."""
        return self.macs / self.slots if self.slots else 0.0

    @property
    def mapping_efficiency(self) -> float:
        """MACs done over MACs of the multipliers while they are at it, without filling and draining the array; 0 off the array."""
        return self.macs / self.mapped_slots if self.mapped_slots else 0.0


@dataclass(frozen=True)
class Cost:
    """A network's cost: its rows, and sums of them."""

    clock_hz: float
    layers: tuple[LayerCost, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def cycles(self) -> int:
        return sum(layer.total_cycles for layer in self.layers)

    @property
    def latency_s(self) -> float:
        return self.cycles / self.clock_hz

    @property
    def energy_pj(self) -> float:
        return sum(layer.total_pj for layer in self.layers)

    @property
    def energy_j(self) -> float:
        return self.energy_pj * 1e-12

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def fallback_share(self) -> float:
        """The share of the products that the fallback makes."""
        return sum(layer.macs for layer in self.layers if layer.unit == "fallback") / self.macs if self.macs else 0.0

    @property
    def weight_bytes(self) -> int:
        return -(-sum(layer.weight_storage_bits for layer in self.layers) // 8)

    @property
    def peak_onchip_bytes(self) -> int:
        return -(-max((layer.onchip_bits for layer in self.layers), default=0) // 8)

    @property
    def fits(self) -> bool:
        return not self.problems and all(layer.fits for layer in self.layers)

    @property
    def average_power_w(self) -> float:
        return self.energy_j / self.latency_s if self.cycles else 0.0
