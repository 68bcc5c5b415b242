"""When each layer runs and what lies in on-chip memory meanwhile."""

from __future__ import annotations

from hwsim.cost import Cost
from hwsim.result import Slice

__all__ = ["timeline"]


def timeline(cost: Cost) -> tuple[Slice, ...]:
    """Layers one after the other, as the analytical model prices them."""
    slices, now = [], 0
    for layer in cost.layers:
        slices.append(Slice(layer.name, now, now + layer.total_cycles, -(-layer.onchip_bits // 8)))
        now += layer.total_cycles
    return tuple(slices)
