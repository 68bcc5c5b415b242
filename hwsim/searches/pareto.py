"""The exact Pareto front by dynamic programming over layers (HAWQ-V2, Dong et al. 2020, section 3.2, chose from such a front).

Of partial assignments that agree in every variable on which the rest depends, one that is not better in any quantity is dropped.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hwsim.allocation import Allocation
from hwsim.quant import Array
from hwsim.searches._frontier import grow, order_of
from hwsim.searches._scores import best_first

EXACT = True


def search(problem: Allocation, seed: int = 0) -> Array:
    """The whole front within the limits: no other assignment is at least as good in every quantity and better in one."""
    *_, last = grow(problem, order_of(problem), lambda now: undominated(now.sums, now.state))
    return best_first(problem, last.choices)


def undominated(values: Array, state: Array | None = None) -> Array:
    """Which rows no other row of the same state is at least as good as (less is better; of equal rows the first stays)."""
    group = np.zeros(len(values), np.int64) if state is None else state
    columns = [c for c in range(values.shape[1]) if len(values) and np.ptp(values[:, c]) > 0] or [0]
    if len(columns) <= 2:
        return _staircases(values[:, columns[0]], values[:, columns[-1]], group)
    order = np.lexsort((np.arange(len(values)), *(values[:, c] for c in columns[::-1]), group))
    keep = np.zeros(len(values), bool)
    keep[order] = _front(values[order][:, columns], group[order])
    return keep


def _staircases(x: Array, y: Array, group: Array) -> Array:
    """`undominated` in two quantities: sorted by the first, what is less in the second than all before it in its group."""
    order = np.argsort(x, kind="stable")
    small = group.astype(np.uint16) if len(group) and group.max() < 1 << 16 else group  # sorted by its digits
    order = order[np.argsort(small[order], kind="stable")]
    x, y, group = x[order], y[order], group[order]
    least = np.full(len(x), np.inf)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for first, end in pairwise([*starts.tolist(), len(x)]):
        least[first + 1 : end] = np.minimum.accumulate(y[first : end - 1])
    lower = y < least
    lower[starts] = True
    found = np.flatnonzero(lower)
    same = (np.diff(x[found]) == 0) & (np.diff(group[found]) == 0)
    keep = np.zeros(len(x), bool)
    keep[order[found[np.append(~same, True)[: len(found)]]]] = True
    return keep


def _front(values: Array, group: Array) -> Array:
    """`undominated` for rows sorted by state and then by value."""
    keep = np.ones(len(values), bool)
    for first, end in pairwise([*np.flatnonzero(np.diff(group, prepend=-1)).tolist(), len(values)]):
        kept = np.zeros((0, values.shape[1] - 1))
        for i in range(first, end):
            row = values[i, 1:]
            keep[i] = not (kept <= row).all(1).any()
            if keep[i]:
                kept = np.concatenate([kept[~(row <= kept).all(1)], row[None]])
    return keep
