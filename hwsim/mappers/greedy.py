"""Tiles with the least traffic from the level outside, over powers of two in each loop; the sums stay inside.

With the channels not split, one operand's tile can stay while the other streams, so it is read once; sums never leave.  One level
after the other, so a level may be chosen that leaves the next one a worse problem; `exhaustive` looks at both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from hwsim.mappers._traffic import chosen, inside, tile_bits, traffic_bits
from hwsim.mapping import Level, Problem, Tiling
from hwsim.quant import Array

__all__ = ["propose", "tile"]

STAYING = ("KRC", "RKC")


def propose(problem: Problem, levels: Sequence[Level], objective: str) -> Iterator[tuple[Tiling, ...]]:
    """One chain, whatever the objective: least traffic is good for all of them."""
    chain: list[Tiling] = []
    for level in levels:
        chain.append(tile(problem, level))
        problem = inside(problem, chain[-1])
    yield tuple(chain)


def _steps(n: int) -> list[int]:
    """1, 2, 4, ... and n."""
    return [*(1 << i for i in range((n - 1).bit_length())), n]


@lru_cache(maxsize=1024)
def _tiles(*loops: int) -> tuple[Array, ...]:
    """Sizes of tiles in each loop, and how many tiles there are."""
    sizes = [a.ravel() for a in np.meshgrid(*map(_steps, loops), indexing="ij")]
    return (*sizes, np.prod([-(-n // s) for n, s in zip(loops, sizes, strict=True)], axis=0))


def _least(cost: Array, count: Array, legal: Array) -> int:
    """The first of the legal ones with the least cost, of these with the least count; 0 when none is."""
    if not legal.any():
        return 0
    cheapest = legal & (cost == cost[legal].min())
    return int(np.flatnonzero(cheapest)[np.argmin(count[cheapest])])


def tile(p: Problem, level: Level) -> Tiling:
    """The tiling with the least traffic; of equals the one with the fewest tiles.  `fits` is False when not even one cell fits."""
    g, k, c, r, count = _tiles(p.groups, p.outputs, p.channels, p.rows)
    sizes = tile_bits(p, g, k, c, r)
    legal = np.ones(len(g), bool)
    for operands, capacity in level.capacities.items():
        if capacity is not None:
            legal &= sum(sizes[o] * level.buffers[o] for o in operands) <= capacity
    moved = [traffic_bits(p, g, k, c, r, order) for order in STAYING]
    cost = np.stack([sum((m[o] for o in level.operands), np.zeros(len(g), np.int64)) for m in moved], axis=1).ravel()
    best, which = divmod(_least(cost, np.repeat(count, len(STAYING)), np.repeat(legal, len(STAYING))), len(STAYING))
    picked = int(g[best]), int(k[best]), int(c[best]), int(r[best])
    return chosen(p, picked, STAYING[which], level.buffers, level.operands, bool(legal.any()))
