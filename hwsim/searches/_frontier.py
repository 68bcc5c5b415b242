"""Partial assignments grown one variable at a time, in an order that lets as many terms as possible be added early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    """Partial assignments (n, variables), of which the first `depth` of the order are chosen, and their sums so far (n, quantities)."""

    choices: Array
    sums: Array
    depth: int


def order_of(problem: Allocation) -> Order:
    """Terms one after the other: next the one that opens the fewest new variables."""
    left, order, known = list(merged(problem.terms)), list[int](), list[list[Term]]()
    while left:
        t = min(left, key=lambda t: (sum(v not in order for v in t.variables), min(t.variables, default=-1)))
        for v in (v for v in t.variables if v not in order):
            order.append(v)
            known.append([])
        if not known:
            order, known = [0], [[]]
        done = [u for u in left if set(u.variables) <= set(order)]
        known[-1] += done
        left = [u for u in left if not any(u is d for d in done)]
    for v in (v for v in range(len(problem.options)) if v not in order):
        order.append(v)
        known.append([])
    return Order(tuple(order), tuple(tuple(k) for k in known), _least(problem, known), _open(order, known))


def _least(problem: Allocation, known: list[list[Term]]) -> Array:
    width = len(problem.quantities)
    steps = [sum((t.values.reshape(width, -1).min(1) for t in terms), np.zeros(width)) for terms in known]
    return np.concatenate([np.cumsum(steps[::-1], 0)[::-1], np.zeros((1, width))])


def _open(order: list[int], known: list[list[Term]]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(v for v in order[: i + 1] if any(v in t.variables for later in known[i + 1 :] for t in later)) for i in range(len(order))
    )


def grow(problem: Allocation, order: Order, prune: Callable[[Frontier], Array]) -> Iterator[Frontier]:
    """The frontier after every variable; `prune(frontier)` says which partial assignments to keep, beyond those that cannot end within
    the limits."""
    width = len(problem.options)
    now = Frontier(np.zeros((1, width), np.uint8), np.zeros((1, len(problem.quantities))), 0)
    for depth, v in enumerate(order.variables):
        options = problem.options[v]
        choices = np.repeat(now.choices, options, 0)
        choices[:, v] = np.tile(np.arange(options, dtype=np.uint8), len(now.choices))
        sums = np.repeat(now.sums, options, 0)
        for t in order.known[depth]:
            sums += np.moveaxis(t.values, 0, -1)[tuple(choices[:, u] for u in t.variables)]
        hopeful = (sums + order.least[depth + 1] <= np.array(problem.limits)).all(1) & np.isfinite(sums[:, 0])
        now = Frontier(choices[hopeful], sums[hopeful], depth + 1)
        keep = prune(now)
        now = Frontier(now.choices[keep], now.sums[keep], depth + 1)
        yield now
