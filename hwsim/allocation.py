"""Bits to be given out: what can be chosen, what each choice costs, and the limits that a choice must keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

from hwsim.quant import Array

__all__ = ["Allocation", "Packed", "Term", "joined", "merged"]


@dataclass(frozen=True, eq=False)
class Term:
    """A share of every quantity that depends on few variables: `values` has the shape (quantities, *options of the variables).

    A combination that is forbidden costs infinity.
    """

    variables: tuple[int, ...]
    values: Array


@dataclass(frozen=True, eq=False)
class Packed:
    """All terms in flat arrays, for kernels: term t reads the row `offset[t] + sum of choice[variable[t]] * stride[t]` of `values`.

    `values` (entries, quantities, filled up to fours); `offset` (terms,); `variable` and `stride` (terms, most variables of a term),
    padded with stride 0.
    """

    values: Array
    offset: Array
    variable: Array
    stride: Array


@dataclass(frozen=True, eq=False)
class Allocation:
    """A multiple-choice knapsack whose items may depend on each other: of the quantities, sums over all terms, the first is to be least
    and each of the others at most its limit.

    `options` counts the choices of each variable, from the fewest bits to the most; a choice is one index per variable.  `names` and
    `features` (variables, features; each from 0 to 1) say what the variables are, to those searches that look at it.
    """

    options: tuple[int, ...]
    quantities: tuple[str, ...]
    terms: tuple[Term, ...]
    limits: tuple[float, ...]
    names: tuple[str, ...] = ()
    features: Array | None = field(default=None)

    def __post_init__(self) -> None:
        assert len(self.limits) == len(self.quantities), "one limit per quantity"
        for t in self.terms:
            assert t.values.shape == (len(self.quantities), *(self.options[v] for v in t.variables)), "a term's values cover its options"

    @property
    def assignments(self) -> int:
        """How many assignments there are."""
        return prod(self.options)

    @cached_property
    def packed(self) -> Packed:
        """The terms, joined where their tables stay small, in flat arrays."""
        terms = joined(merged(self.terms), self.options)
        most = -(-max((len(t.variables) for t in terms), default=1) // 3) * 3  # few lengths, so that few kernels are compiled
        variable, stride = np.zeros((2, len(terms), most), np.int64)
        for i, t in enumerate(terms):
            shape = t.values.shape[1:]
            variable[i, : len(shape)] = t.variables
            stride[i, : len(shape)] = [prod(shape[k + 1 :]) for k in range(len(shape))]
        flat = [_in_fours(t.values.reshape(len(self.quantities), -1).T) for t in terms]
        offset = np.cumsum([0, *(len(f) for f in flat)], dtype=np.int64)[:-1]
        return Packed(np.ascontiguousarray(np.concatenate(flat), np.float64), offset, variable, stride)


def _in_fours(values: Array) -> Array:
    """Columns of nothing added, for vectors of four numbers."""
    return np.pad(values, ((0, 0), (0, -values.shape[1] % 4)))


def merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The same sums in fewer terms: a term whose variables are all among another's is added to it."""
    kept: list[Term] = []
    for t in sorted(terms, key=lambda t: -len(t.variables)):
        host = next((i for i, k in enumerate(kept) if set(t.variables) <= set(k.variables)), None)
        if host is None:
            kept.append(t)
        else:
            kept[host] = replace(kept[host], values=kept[host].values + _spread(t, kept[host].variables))
    return tuple(kept)


def joined(terms: Sequence[Term], options: Sequence[int], most: int = 1024) -> tuple[Term, ...]:
    """The same sums in fewer, larger terms: neighbours are added up while their table has at most so many entries."""
    found: list[Term] = []
    for t in sorted(terms, key=lambda t: sorted(t.variables)):
        union = tuple(dict.fromkeys((*found[-1].variables, *t.variables))) if found else ()
        if found and prod(options[v] for v in union) <= most:
            found[-1] = Term(union, _spread(found[-1], union) + _spread(t, union))
        else:
            found.append(t)
    return tuple(found)


def _spread(term: Term, variables: tuple[int, ...]) -> Array:
    """A term's values with axes for these variables, of length 1 where it does not depend on them."""
    order = sorted(range(len(term.variables)), key=lambda k: variables.index(term.variables[k]))
    values = term.values.transpose(0, *(k + 1 for k in order))
    size = {term.variables[k]: term.values.shape[1 + k] for k in order}
    return values.reshape(len(values), *(size.get(v, 1) for v in variables))
