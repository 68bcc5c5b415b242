"""Silicon area of the parts of a chip at one technology, as its YAML file states it."""

from __future__ import annotations

from pydantic import Field

from hwsim.blocks import Block, MoreThan0, Share, Strict
from hwsim.quantities import Area, Length

__all__ = ["AreaTable", "Cell"]


class Cell(Block):
    """A circuit at one width of its operands."""

    area: Area
    bits: int = Field(ge=1)


class FloatCells(Block):
    """Circuits for real numbers, by format."""

    multiply: dict[str, Area]
    add: dict[str, Area]


class Composing(Block):
    """Multipliers that split into narrower ones."""

    halving: float = Field(
        ge=1, description="how many times larger a multiplier becomes for every halving of the width that it can split to"
    )


class SramMacros(Block):
    """Area of a whole bank against its capacity; between the points it follows a power law, beyond them the last one."""

    bank: dict[str, Area] = Field(min_length=2)


class Placement(Block):
    """What cells become on a chip."""

    density: Share = Field(description="share of the placed area that cells fill; the rest is wires")
    control: MoreThan0 = Field(description="sequencers, decoders and transfer engines, as a share of arrays and vector units")


class AreaTable(Strict):
    """Area of cells and memories of one technology."""

    name: str
    node: Length
    multiply: Cell
    add: Cell
    floats: FloatCells
    register_bit: Cell
    composing: Composing
    sram: SramMacros
    placement: Placement
