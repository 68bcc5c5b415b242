"""The exact Pareto front by dynamic programming over layers (HAWQ-V2, Dong et al. 2020, section 3.2, chose from such a front).

Of partial assignments that agree in every variable on which the rest depends, one that is not better in any quantity is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwsim.allocation import Allocation
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.searches._frontier import Frontier, grow, order_of
from hwsim.searches._scores import best_first, scores

EXACT = True
MOST = 1 << 16  # partial assignments kept side by side where the front may be thinned
ROOM = 1 << 22  # where it may not: about a gigabyte with 30 variables


@dataclass(frozen=True, eq=False)
class Front:
    """Assignments (n, variables) on a front.  `excess`: for every assignment on the exact front one here loses no more, and of the second
    quantity it costs at most so much more; 0 where the front is exact.  Limits are kept; a front that is not exact may lack what lies
    nearer to one than that.
    """

    choices: Array
    excess: float = 0.0

    def told(self, problem: Allocation) -> str:
        """In words: `exact`, or how far it may be from the exact one, as a share of the least cost on it."""
        if not self.excess:
            return "exact"
        share = self.excess / scores(problem, self.choices)[:, 1].min()
        return f"within {100 * share:.2g} % of {problem.quantities[1]} of the exact one"


def search(problem: Allocation, seed: int = 0) -> Array:
    """The whole front within the limits: no other assignment is at least as good in every quantity and better in one.

    Raises HwsimError when more partial assignments stay than memory should hold.
    """
    return front(problem, most=None).choices


def front(problem: Allocation, most: int | None = MOST) -> Front:
    """The front of two quantities, exact as long as so many partial assignments stay (None: always); else one whose distance is known."""
    excess = 0.0

    def prune(now: Frontier) -> Array:
        nonlocal excess
        rows = _best_rows(now.sums, now.state)
        if most is None and len(rows) > ROOM:
            must = f"pareto must keep at most {ROOM:,} partial assignments side by side"
            raise HwsimError("--strategy", must, f"{len(rows):,}", "ilp finds the best one alone")
        if most is None or len(rows) <= most or now.sums.shape[1] != 2:
            return rows
        rows, more = _thinned(rows, now.sums[rows, 1], now.state[rows], most)
        excess += more
        return rows

    *_, last = grow(problem, order_of(problem), prune)
    return Front(best_first(problem, last.choices), excess)


def _thinned(rows: Array, cost: Array, state: Array, most: int) -> tuple[Array, float]:
    """At most about so many of rows sorted by loss in each state, of near costs the one that loses least; and how far the others lie."""
    first = np.flatnonzero(np.diff(state, prepend=-1))
    lengths = np.diff(np.append(first, len(rows)))
    start, end = np.repeat(cost[first], lengths), np.repeat(cost[first + lengths - 1], lengths)
    width = (start - end).max() * len(first) / most
    cell = np.floor((start - cost) / width)
    heads = np.flatnonzero((np.diff(cell, prepend=-1) != 0) | (np.diff(state, prepend=-1) != 0))
    nearest = np.repeat(cost[heads], np.diff(np.append(heads, len(rows))))
    return rows[heads], float((nearest - cost).max())


def undominated(values: Array, state: Array | None = None) -> Array:
    """Which rows no other row of the same state is at least as good as (less is better; of equal rows the first stays)."""
    keep = np.zeros(len(values), bool)
    keep[_best_rows(values, np.zeros(len(values), np.int64) if state is None else state)] = True
    return keep


def _best_rows(values: Array, group: Array) -> Array:
    """The numbers of the undominated rows, sorted by state, then by value."""
    columns = [c for c in range(values.shape[1]) if len(values) and np.ptp(values[:, c]) > 0] or [0]
    if len(columns) <= 2:
        return _staircases(values[:, columns[0]], values[:, columns[-1]], group)
    order = np.lexsort((np.arange(len(values)), *(values[:, c] for c in columns[::-1]), group))
    found: Array = order[_front(values[order][:, columns], group[order])]
    return found


def _staircases(x: Array, y: Array, group: Array) -> Array:
    """`_best_rows` in two quantities: sorted by the first, what is less in the second than all before it in its group."""
    small = group.astype(np.uint16) if len(group) and group.max() < 1 << 16 else group  # sorted by its digits
    order = np.argsort(small, kind="stable")
    found = []
    for first, end in pairwise([*np.flatnonzero(np.diff(small[order].astype(np.int64), prepend=-1)).tolist(), len(x)]):
        rows = order[first:end]
        rows = rows[np.argsort(x[rows], kind="stable")]  # merged, where it consists of sorted parts
        low = y[rows]
        rows = rows[np.append(True, low[1:] < np.minimum.accumulate(low)[:-1])]
        found.append(rows[np.append(np.diff(x[rows]) > 0, True)])
    return np.concatenate(found) if found else order


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
