"""Partial assignments grown one variable at a time, in an order that lets as many terms as possible be added early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from hwsim.allocation import Allocation, Term, merged
from hwsim.quant import Array

__all__ = ["Frontier", "Order", "grow", "order_of"]


@dataclass(frozen=True, eq=False)
class Order:
    """Variables in the order in which they are chosen, the terms that become known with each, and what is still open behind it.

    `least` (variables + 1, quantities): a bound from below of the terms not yet known; `open_` the chosen variables on which they depend.
    """

    variables: tuple[int, ...]
    known: tuple[tuple[Term, ...], ...]
    least: Array
    open_: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Frontier:
    """Partial assignments, of which the first `depth` of the order are chosen, and their sums so far (n, quantities).

    `held` are the choices of those variables that later terms depend on, and `state` is one number for each combination of them.
    """

    order: Order
    sums: Array
    state: Array
    held: Mapping[int, Array]
    trail: tuple[tuple[Array, Array], ...] = ()

    @property
    def depth(self) -> int:
        return len(self.trail)

    @property
    def choices(self) -> Array:
        """The assignments (n, variables), followed back from step to step; 0 for what is not chosen yet."""
        found = np.zeros((len(self.sums), len(self.order.variables)), np.uint8)
        rows = np.arange(len(found))
        for v, (parent, option) in zip(self.order.variables[self.depth - 1 :: -1], self.trail[::-1], strict=True):
            found[:, v] = option[rows]
            rows = parent[rows]
        return found

    def kept(self, keep: Array) -> Frontier:
        """Some of them, by a mask or by their numbers."""
        if keep.dtype == bool and keep.all():
            return self
        (parent, option), held = self.trail[-1], {v: c[keep] for v, c in self.held.items()}
        return Frontier(self.order, self.sums[keep], self.state[keep], held, (*self.trail[:-1], (parent[keep], option[keep])))


def order_of(problem: Allocation) -> Order:
    """The better of two orders: that of the variables, which is the network's own, and terms one after the other.

    Better is what leaves fewer combinations of variables open, summed over all steps.
    """
    terms = merged(problem.terms)
    orders = [_ordered(problem, terms, order) for order in (_as_they_come(problem, terms), _by_terms(problem, terms))]
    return min(orders, key=lambda o: sum(prod(problem.options[v] for v in open_) for open_ in o.open_))


def _as_they_come(problem: Allocation, terms: Sequence[Term]) -> list[int]:
    """The variables in their own order, but those of a single term when the others of that term are chosen."""
    count = Counter(v for t in terms for v in t.variables)
    order = [v for v in range(len(problem.options)) if count[v] != 1]
    at = {v: i for i, v in enumerate(order)}
    alone = [(max((at[u] for u in t.variables if u in at), default=-1), v) for t in terms for v in t.variables if v not in at]
    return [v for _, _, v in sorted([(i, -1, v) for v, i in at.items()] + [(i, v, v) for i, v in alone])]


def _by_terms(problem: Allocation, terms: Sequence[Term]) -> list[int]:
    """Next the term that opens the fewest new variables."""
    left, order = list(terms), list[int]()
    while left:
        t = min(left, key=lambda t: (sum(v not in order for v in t.variables), min(t.variables, default=-1)))
        order += [v for v in t.variables if v not in order]
        left = [u for u in left if not set(u.variables) <= set(order)]
    return order + [v for v in range(len(problem.options)) if v not in order]


def _ordered(problem: Allocation, terms: Sequence[Term], order: Sequence[int]) -> Order:
    at = {v: i for i, v in enumerate(order)}
    known: list[list[Term]] = [[] for _ in order]
    for t in terms:
        known[max((at[v] for v in t.variables), default=0)].append(t)
    return Order(tuple(order), tuple(tuple(k) for k in known), _least(problem, known), _open(order, known))


def _least(problem: Allocation, known: list[list[Term]]) -> Array:
    width = len(problem.quantities)
    steps = [sum((t.values.reshape(width, -1).min(1) for t in terms), np.zeros(width)) for terms in known]
    return np.concatenate([np.cumsum(steps[::-1], 0)[::-1], np.zeros((1, width))])


def _open(order: Sequence[int], known: list[list[Term]]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(v for v in order[: i + 1] if any(v in t.variables for later in known[i + 1 :] for t in later)) for i in range(len(order))
    )


def grow(problem: Allocation, order: Order, prune: Callable[[Frontier], Array]) -> Iterator[Frontier]:
    """The frontier after every variable that makes terms known, and after the last; `prune(frontier)` says which partial assignments to
    keep, beyond those that cannot end within the limits."""
    limits = np.array(problem.limits)
    now = Frontier(order, np.zeros((1, len(problem.quantities))), np.zeros(1, np.int64), {})
    for depth in range(len(order.variables)):
        now = _grown(problem, now)
        if not order.known[depth] and depth + 1 < len(order.variables):
            continue  # nothing is closer to its end, and none of them better than another that was not before
        now = now.kept((now.sums + order.least[depth + 1] <= limits).all(1) & np.isfinite(now.sums[:, 0]))
        now = now.kept(prune(now))
        yield now


def _grown(problem: Allocation, now: Frontier) -> Frontier:
    """With every option of the next variable."""
    order, v = now.order, now.order.variables[now.depth]
    options, rows = problem.options[v], len(now.sums)
    option = np.repeat(np.arange(options, dtype=np.uint8), rows)  # what was sorted lies side by side
    held = {**{u: np.tile(c, options) for u, c in now.held.items()}, v: option}
    sums = np.tile(now.sums, (options, 1))
    for t in order.known[now.depth]:
        sums += np.moveaxis(t.values, 0, -1)[tuple(held[u] for u in t.variables)]
    state = np.zeros(len(option), np.int64)
    for u in order.open_[now.depth]:
        state = state * problem.options[u] + held[u]
    still = {u: held[u] for u in order.open_[now.depth]}
    return Frontier(order, sums, state, still, (*now.trail, (np.tile(np.arange(rows), options), option)))
