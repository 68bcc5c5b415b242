"""Integer linear programming (HAWQ-V3, Yao et al. 2021, section 3.4), solved by HiGHS; exact.

A binary for each option of each variable; a term of several variables has one more number for each of its combinations, which must
add up to the options of each of its variables.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hwsim.allocation import Allocation, Term, merged
from hwsim.quant import Array
from hwsim.searches._native import unheard
from hwsim.searches._scores import best_first

EXACT = True
ROUNDS = 50


def search(problem: Allocation, seed: int = 0) -> Array:
    """The best assignment; one that HiGHS takes for feasible by its tolerance, and is not, is excluded and the rest searched again."""
    known = merged(problem.terms)
    terms = [t for t in known if t.variables]
    constant = sum((t.values for t in known if not t.variables), np.zeros(len(problem.quantities)))
    excluded: list[Array] = []
    for _ in range(ROUNDS):
        choice = _solve(problem, terms, constant, excluded)
        if choice is None:
            break
        found = best_first(problem, choice)
        if len(found):
            return found
        excluded.append(choice)
    return np.zeros((0, len(problem.options)), np.uint8)


def _solve(problem: Allocation, terms: list[Term], constant: Array, excluded: list[Array]) -> Array | None:
    from scipy.optimize import Bounds, LinearConstraint, milp

    first = np.cumsum([0, *problem.options])
    wide = [t for t in terms if len(t.variables) > 1]
    at = first[-1] + np.cumsum([0, *(t.values[0].size for t in wide)])
    values = np.zeros((len(problem.quantities), int(at[-1])))
    for t in terms:
        if len(t.variables) == 1:
            values[:, first[t.variables[0]] : first[t.variables[0] + 1]] += t.values
    for t, a in zip(wide, at, strict=False):
        values[:, a : a + t.values[0].size] = t.values.reshape(len(values), -1)
    forbidden = ~np.isfinite(values).all(0)
    values[:, forbidden] = 0
    limited = [q for q in range(1, len(values)) if np.isfinite(problem.limits[q])]
    size = np.abs(values).max(1)
    constraints = [_consistent(problem, wide, first, at)]
    if limited:
        room = np.array([problem.limits[q] - constant[q] for q in limited])
        scale = np.maximum(size[limited], 1e-300)
        constraints.append(LinearConstraint(values[limited] / scale[:, None], -np.inf, room / scale))
    constraints += [_other_than(choice, first, int(at[-1])) for choice in excluded]
    integral = np.concatenate([np.ones(first[-1]), np.zeros(at[-1] - first[-1])])
    bounds = Bounds(0, np.where(forbidden, 0.0, 1.0))
    objective, exact = values[0] / max(size[0], 1e-300) * 1e3, {"mip_rel_gap": 0}
    with unheard():
        answer = milp(objective, integrality=integral, bounds=bounds, constraints=constraints, options=exact)
    if answer.x is None:
        return None
    return np.array([np.argmax(answer.x[a:b]) for a, b in pairwise(first)], np.uint8)


def _consistent(problem: Allocation, wide: list[Term], first: Array, at: Array):  # type: ignore[no-untyped-def]
    """One option of each variable, and combinations that add up to the options."""
    from scipy.optimize import LinearConstraint
    from scipy.sparse import coo_matrix

    rows: list[int] = []
    columns: list[int] = []
    signs: list[float] = []
    count = len(problem.options)
    for v, (a, b) in enumerate(pairwise(first)):
        rows += [v] * (b - a)
        columns += range(a, b)
        signs += [1.0] * (b - a)
    right = [1.0] * count
    for t, a in zip(wide, at, strict=False):
        index = np.arange(t.values[0].size).reshape(t.values.shape[1:])
        for axis, v in enumerate(t.variables):
            for option, part in enumerate(np.moveaxis(index, axis, 0)):
                rows += [len(right)] * (part.size + 1)
                columns += [*(a + part.ravel()), first[v] + option]
                signs += [1.0] * part.size + [-1.0]
                right.append(0.0)
    matrix = coo_matrix((signs, (rows, columns)), (len(right), int(at[-1]))).tocsr()
    return LinearConstraint(matrix, right, right)


def _other_than(choice: Array, first: Array, width: int):  # type: ignore[no-untyped-def]
    """At least one variable differs from this choice."""
    from scipy.optimize import LinearConstraint

    row = np.zeros((1, width))
    row[0, first[:-1] + choice] = 1
    return LinearConstraint(row, -np.inf, len(choice) - 1)
