"""Energy per action of a technology, as its YAML file states it, and how it scales between nodes and supplies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hwsim.blocks import Block, MoreThan0, Strict
from hwsim.quantities import Energy, EnergyPerBit, Length, Voltage

__all__ = ["CostTable", "Law", "Scaling"]


class Entry(Block):
    """Prices with where they come from and how sure that is."""

    trust: Literal["verified", "recalled", "assumed"] = Field(
        description="verified: read in the source or a public copy of it; recalled: from the source, not read again; assumed: not in it"
    )


class Law(Entry):
    """An energy at one width and how it grows with the widths."""

    energy: Energy
    bits: int
    law: Literal["product", "linear"] = Field(description="product of the operand widths (multiplier), or linear in the width (adder)")


class Floats(Entry):
    multiply: dict[str, Energy]
    add: dict[str, Energy]


class Sram(Entry):
    """Energy of a read per bit against capacity; between the points it follows a power law, beyond them the last one."""

    read: dict[str, EnergyPerBit] = Field(min_length=2)
    write_ratio: float = Field(gt=0)


class Prices(Entry):
    prices: dict[str, EnergyPerBit]


class Splitting(Entry):
    """Multipliers that split into narrower ones (BitFusion)."""

    halving: float = Field(
        ge=1, description="how many times more a product takes for every halving of the width that the multiplier can split to"
    )


class Wires(Entry):
    """Wires across the chip; their energy follows the supply alone, a wire does not shrink with its node."""

    per_mm: EnergyPerBit = Field(description="of a bit over a millimetre")


class CostTable(Strict):
    """Energy per action of one technology."""

    name: str
    node: Length
    voltage: Voltage
    multiply: Law
    add: Law
    floats: Floats
    register_access: Prices
    splitting: Splitting
    wires: Wires
    sram: Sram
    off_chip: Prices


class Node(Strict):
    """A process node: E = a V^2 + b V + c, and the area of a gate relative to 45 nm."""

    a: float
    b: float
    c: float
    area: MoreThan0


class Scaling(Strict):
    """Energy of a gate against process node and supply voltage, and its area."""

    name: str
    source: str
    nodes: dict[str, Node] = Field(min_length=2)
