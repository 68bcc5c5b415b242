"""The exact Pareto front by dynamic programming over layers (HAWQ-V2, Dong et al. 2020, section 3.2, chose from such a front).

Of partial assignments that agree in every variable on which the rest depends, one that is not better in any quantity is dropped.
"""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.quant import Array
from hwsim.searches._frontier import Frontier, grow, order_of
from hwsim.searches._scores import best_first

EXACT = True


def search(problem: Allocation, seed: int = 0) -> Array:
    """The whole front within the limits: no other assignment is at least as good in every quantity and better in one."""
    order = order_of(problem)

    def prune(now: Frontier) -> Array:
        state = np.zeros(len(now.choices), np.int64)
        for v in order.open_[now.depth - 1]:
            state = state * problem.options[v] + now.choices[:, v]
        return undominated(now.sums, state)

    *_, last = grow(problem, order, prune)
    return best_first(problem, last.choices)


def undominated(values: Array, state: Array | None = None) -> Array:
    """Which rows no other row of the same state is at least as good as (less is better; of equal rows the first stays)."""
    group = np.zeros(len(values), np.int64) if state is None else state
    columns = [c for c in range(values.shape[1]) if len(values) and np.ptp(values[:, c]) > 0] or [0]
    order = np.lexsort((np.arange(len(values)), *(values[:, c] for c in columns[::-1]), group))
    keep = np.zeros(len(values), bool)
    keep[order] = _front(values[order][:, columns], group[order])
    return keep


def _front(values: Array, group: Array) -> Array:
    """`undominated` for rows sorted by state and then by value."""
    start = np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.zeros(0, bool)
    if values.shape[1] == 1:
        return start
    if values.shape[1] == 2:
        return start | (values[:, 1] < _least_before(values[:, 1], start))
    keep = np.ones(len(values), bool)
    for first, end in zip(np.flatnonzero(start), [*np.flatnonzero(start)[1:], len(values)], strict=True):
        kept = np.zeros((0, values.shape[1] - 1))
        for i in range(first, end):
            row = values[i, 1:]
            keep[i] = not (kept <= row).all(1).any()
            if keep[i]:
                kept = np.concatenate([kept[~(row <= kept).all(1)], row[None]])
    return keep


def _least_before(values: Array, start: Array) -> Array:
    """The least of the values before each, since the last start."""
    group = np.cumsum(start)
    rank = np.unique(values, return_inverse=True)[1].astype(np.int64)
    count = int(rank.max(initial=0)) + 1
    running = np.minimum.accumulate(rank - group * count) + group * count
    least = np.concatenate([[np.inf], np.sort(np.unique(values))[running[:-1]]]) if len(values) else values
    least[start] = np.inf
    return least
