"""Why a layer takes the time and the energy that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.cost import LayerCost, Priced

__all__ = ["Explanation", "PortUse", "Source", "WhatIf"]


@dataclass(frozen=True)
class PortUse:
    """One direction of a memory's port: what goes through it, and how long that takes."""

    memory: str
    direction: str
    operands: Mapping[str, int]
    bits_per_cycle: float
    cycles: int


@dataclass(frozen=True)
class Source:
    """Where a number stands, and what is known of it; `scaled` is the factor from the table's node and supply to the chip's."""

    block: str
    text: str
    node_nm: float | None = None
    voltage: float | None = None
    scaled: float = 1.0
    assumed: bool = False
    trust: str = ""


@dataclass(frozen=True)
class WhatIf:
    """The same layer and network after one change; None where the chip cannot have it.

    `of` is what changes: `weights`, `activations`, `both`, `as_run` (stored as it is multiplied), or the name of a memory or array.
    """

    of: str
    change: str
    cycles: int | None
    energy_pj: float | None
    network_cycles: int | None
    network_pj: float | None
    runs_as: str = ""


@dataclass(frozen=True)
class Explanation:
    """A layer's row taken apart, and what changes would do to it.

    `kind` is its array's, `native` the precisions that it runs as they are; `validation` says how far the chip's numbers can be trusted.
    """

    arch: str
    validation: str
    layer: LayerCost
    clock_hz: float
    kind: str
    native: tuple[str, ...]
    stages: Mapping[str, int]
    ports: tuple[PortUse, ...]
    energy: tuple[Priced, ...]
    sources: Mapping[str, Source]
    network_cycles: int
    network_pj: float
    changes: tuple[WhatIf, ...]
