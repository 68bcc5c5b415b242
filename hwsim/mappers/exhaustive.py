"""Every tile size that needs a number of trips of its own, in every loop order, level by level with the best few kept between levels.

Sizes between two that need equally many trips are left out: the smaller of them takes less room and moves no more.  The first chain
is that of `greedy`, so that the result is never worse by the objective, whatever the model counts besides traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import numpy as np

from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.tiling import ARENA, RESULT, search
from hwsim.mappers import greedy
from hwsim.mappers._traffic import chosen, inside
from hwsim.mapping import ORDERS, Level, Problem, Tiling
from hwsim.quant import Array

__all__ = ["propose"]

FIRST, NEXT = 24, 4
OPERANDS = ("weights", "inputs", "outputs")


def propose(problem: Problem, levels: Sequence[Level], objective: str) -> Iterator[tuple[Tiling, ...]]:
    """The greedy chain, then chains of the tilings that cost least by the objective; for `edp` by time and by energy."""
    yield from greedy.propose(problem, levels, objective)
    if levels:
        for kind in {"latency": ("latency",), "energy": ("energy",), "edp": ("latency", "energy")}[objective]:
            yield from _chains(problem, levels, kind, FIRST)


def _chains(problem: Problem, levels: Sequence[Level], objective: str, width: int) -> Iterator[tuple[Tiling, ...]]:
    if not levels:
        yield ()
        return
    for tiling in tilings(problem, levels[0], objective, width):
        for rest in _chains(inside(problem, tiling), levels[1:], objective, NEXT):
            yield (tiling, *rest)


def tilings(p: Problem, level: Level, objective: str, count: int) -> list[Tiling]:
    """At most `count` tilings of one level, those that cost least first; none when no tile fits."""
    shared = list(level.capacities.items())
    group = {o: i for i, (operands, _) in enumerate(shared) for o in operands}
    room = [-1 if capacity is None else int(capacity) for _, capacity in shared]
    price = level.pj_per_bit if objective == "energy" else level.cycles_per_bit
    sizes = [_sizes(n) for n in (p.groups, p.outputs, p.channels, p.rows)]
    best, scores = np.zeros((count, RESULT), np.int64), np.full(count, np.inf)
    arrays: list[Array] = [
        *sizes,
        np.array(astuple(p), np.int64),
        np.array(room + [-1] * (len(OPERANDS) - len(room)), np.int64),
        np.array([group.get(o, -1) for o in OPERANDS], np.int64),
        np.array([level.buffers.get(o, 1) for o in OPERANDS], np.int64),
        np.array([price.get(o, 0.0) for o in OPERANDS], np.float64),
        best,
        scores,
    ]
    args = np.array([*(len(s) for s in sizes), *(a.ctypes.data for a in arrays), count], np.int64)
    arena = np.zeros(ARENA, np.int64)
    call(address(Kernel(search)), args.ctypes.data, arena.ctypes.data)
    found = best[np.isfinite(scores)].tolist()
    return [chosen(p, (g, k, c, r), ORDERS[order], level.buffers, level.operands, True) for g, k, c, r, order, _ in found]


def _sizes(n: int) -> Array:
    """The least tile size for every number of trips over a loop of n."""
    found, trips = [], 1
    while True:
        size = -(-n // trips)
        found.append(size)
        if size == 1:
            return np.array(found[::-1], np.int64)
        trips = -(-n // (size - 1))
