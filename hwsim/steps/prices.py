"""What an action costs on a chip: its technology's table, scaled to the chip's node and supply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, log, log2

from hwsim.arch import Arch, Memory, parse_precision
from hwsim.energy_table import CostTable, Law, Scaling
from hwsim.errors import HwsimError
from hwsim.units import parse

__all__ = ["Prices", "gate_area", "gate_energy", "power_law", "prices_of"]


@dataclass(frozen=True)
class Prices:
    """Energy per action in pJ: the table's at the chip's node and supply (`gate`), times the chip's own scale.

    `supply` is the chip's over the table's, squared.
    """

    table: CostTable
    gate: float
    scale: float = 1.0
    supply: float = 1.0

    @property
    def factor(self) -> float:
        return self.gate * self.scale

    def clock(self, at_table: float) -> float:
        """An energy that the chip states for itself at the table's node and supply."""
        return at_table * self.gate

    def multiply(self, weight_bits: int, activation_bits: int) -> float:
        """An integer multiply of two widths."""
        return _at_widths(self.table.multiply, weight_bits, activation_bits) * self.factor

    def add(self, bits: int) -> float:
        """An integer add of two numbers of a width."""
        return _at_widths(self.table.add, bits, bits) * self.factor

    def mac(self, precision: str, accumulator_bits: int) -> float:
        """One multiply-accumulate of a precision such as w8a8 or fp16; floats accumulate in float32."""
        weight, activation = parse_precision(precision)
        if isinstance(weight, int) and isinstance(activation, int):
            return self.multiply(weight, activation) + self.add(accumulator_bits)
        kind = str(activation)
        return (self.table.floats.multiply[kind] + self.table.floats.add["fp32"]) * self.factor

    def real_add(self, kind: str) -> float:
        """A floating-point add."""
        return self.table.floats.add[kind] * self.factor

    def register(self, read_bits: int, write_bits: int) -> float:
        """Reading and writing bits of registers next to a multiplier."""
        prices = self.table.register_access.prices
        return (prices["read"] * read_bits + prices["write"] * write_bits) * self.factor

    def split(self, largest: int, smallest: int) -> float:
        """How many times more a multiplier takes that splits down to `smallest` bits."""
        return float(self.table.splitting.halving ** log2(largest / smallest))

    def wire(self, length_nm: float) -> float:
        """Carrying a bit over a wire."""
        return self.table.wires.per_mm * length_nm / 1e6 * self.supply * self.scale

    def memory(self, memory: Memory, direction: str, name: str) -> float:
        """pJ per bit: the memory's own figure, the table's row of its `kind`, or the SRAM law at the size of one bank."""
        own = memory.read_energy if direction == "read" else memory.write_energy
        if own is not None:
            return own
        if memory.kind is not None:
            known = self.table.off_chip.prices
            if memory.kind not in known:
                raise HwsimError(f"memories.{name}.kind", f"must be one of {', '.join(known)}", repr(memory.kind))
            return known[memory.kind]
        if memory.size is None:
            raise HwsimError(f"memories.{name}", "must have a size, a kind or its own read_energy and write_energy, to be priced")
        ratio = 1.0 if direction == "read" else self.table.sram.write_ratio
        return power_law(self.table.sram.read, memory.size / memory.banks) * ratio * self.factor

    def memory_source(self, memory: Memory, direction: str, name: str) -> str:
        """The block in which that price stands."""
        own = memory.read_energy if direction == "read" else memory.write_energy
        return f"memories.{name}" if own is not None else "off_chip" if memory.kind is not None else "sram"


def _at_widths(law: Law, a: int, b: int) -> float:
    """An energy at two widths: with their product, as the cells of a multiplier, or with their mean, as those of an adder."""
    return law.energy * (a * b / law.bits**2 if law.law == "product" else (a + b) / (2 * law.bits))


def prices_of(arch: Arch, table: CostTable, scaling: Scaling) -> Prices:
    """The table's prices at the chip's own node and supply, times the chip's own scale."""
    here = gate_energy(scaling, arch.process.node, arch.process.voltage)
    gate = here / gate_energy(scaling, table.node, table.voltage)
    return Prices(table, gate, arch.energy.scale, (arch.process.voltage / table.voltage) ** 2)


@lru_cache(maxsize=256)
def _curve(points: tuple[tuple[float, float], ...], node: float) -> float:
    """A value between known nodes, by logarithms; beyond them that of the nearest."""
    known = sorted(points)
    node = min(max(node, known[0][0]), known[-1][0])
    for (n0, v0), (n1, v1) in pairwise(known):
        if n0 <= node <= n1:
            share = (log(node) - log(n0)) / (log(n1) - log(n0))
            return exp((1 - share) * log(v0) + share * log(v1))
    raise AssertionError("the nodes cover the clipped node")


def gate_energy(scaling: Scaling, node_nm: float, voltage: float) -> float:
    """Relative energy of a gate (Stillmaker and Baas 2017): a V^2 + b V + c per node, log-interpolated between nodes."""
    at = ((parse(k, "length"), v.a * voltage**2 + v.b * voltage + v.c) for k, v in scaling.nodes.items())
    return _curve(tuple(at), node_nm)


def gate_area(scaling: Scaling, node_nm: float) -> float:
    """Relative area of a gate (Stillmaker and Baas 2017, table 2), log-interpolated between nodes."""
    return _curve(tuple((parse(k, "length"), v.area) for k, v in scaling.nodes.items()), node_nm)


def power_law(points: Mapping[str, float], bits: float) -> float:
    """A value at a capacity from those at known ones: a power law between them, and beyond them that of the last two."""
    return _power_law(tuple(points.items()), bits)


@lru_cache(maxsize=1024)
def _power_law(points: tuple[tuple[str, float], ...], bits: float) -> float:
    known = sorted((parse(k, "size"), v) for k, v in points)
    (x0, y0), (x1, y1) = next(((a, b) for a, b in pairwise(known) if bits <= b[0]), (known[-2], known[-1]))
    return y0 * exp(log(y1 / y0) / log(x1 / x0) * (log(bits) - log(x0)))
