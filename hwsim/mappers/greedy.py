"""Tiles with the least traffic from the level outside, over powers of two in each loop; the sums stay inside.

With the channels not split, one operand's tile can stay while the other streams, so it is read once; sums never leave.  One level
after the other, so a level may be chosen that leaves the next one a worse problem; `exhaustive` looks at both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwsim.mappers._traffic import chosen, inside, moved_elements, sized, tile_elements, traffic_bits
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


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Tiles of a problem, whatever its widths: sizes in each loop, how many tiles there are, elements of each operand, and elements
    moved, the loop orders that stay one after the other."""

    sizes: tuple[Array, ...]
    count: Array
    tiles: Mapping[str, Array]
    moved: Mapping[str, Array]


@lru_cache(maxsize=1024)
def _candidates(p: Problem) -> _Candidates:
    loops = p.groups, p.outputs, p.channels, p.rows
    g, k, c, r = (a.ravel() for a in np.meshgrid(*map(_steps, loops), indexing="ij"))
    count = np.prod([-(-n // s) for n, s in zip(loops, (g, k, c, r), strict=True)], axis=0)
    moved = [moved_elements(p, g, k, c, r, order) for order in STAYING]
    by_operand = {o: np.stack([m[o] for m in moved], axis=1).ravel() for o in moved[0]}
    return _Candidates((g, k, c, r), count, tile_elements(p, g, k, c, r), by_operand)


def _least(cost: Array, count: Array, legal: Array) -> int:
    """The first of the legal ones with the least cost, of these with the least count; 0 when none is."""
    if not legal.any():
        return 0
    cheapest = legal & (cost == cost[legal].min())
    return int(np.flatnonzero(cheapest)[np.argmin(count[cheapest])])


def tile(p: Problem, level: Level) -> Tiling:
    """The tiling with the least traffic; of equals the one with the fewest tiles.  `fits` is False when not even one cell fits."""
    known = _candidates(p.geometry)
    sizes = sized(p, known.tiles, known.sizes[2])
    legal = np.ones(len(known.count), bool)
    for operands, capacity in level.capacities.items():
        if capacity is not None:
            legal &= sum(sizes[o] * level.buffers[o] for o in operands) <= capacity
    moved = traffic_bits(p, known.moved)
    cost = sum((moved[o] for o in level.operands), np.zeros(len(known.moved["weights"]), np.int64))
    best, which = divmod(_least(cost, np.repeat(known.count, len(STAYING)), np.repeat(legal, len(STAYING))), len(STAYING))
    g, k, c, r = (int(s[best]) for s in known.sizes)
    return chosen(p, (g, k, c, r), STAYING[which], level.buffers, level.operands, bool(legal.any()))
