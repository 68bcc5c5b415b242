"""What assignments cost: the sum of a problem's terms, compiled."""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.scores import ROWS, score_choices
from hwsim.quant import Array

__all__ = ["best_first", "scores"]


def scores(problem: Allocation, choices: Array) -> Array:
    """The quantities (n, quantities) of assignments (n, variables), one index of an option per variable."""
    count, variables = choices.shape
    assert variables == len(problem.options), "one choice per variable"
    assert (choices.max(0, initial=0) < np.array(problem.options)).all(), "choices are indices of options"
    choices = np.ascontiguousarray(choices, np.uint8)
    sums, whole = np.empty((-(-count // ROWS) * ROWS, problem.packed.values.shape[1])), count // ROWS * ROWS
    _score(problem, choices[:whole], sums)
    if whole < count:
        _score(problem, np.pad(choices[whole:], ((0, len(sums) - count), (0, 0))), sums[whole:])
    return sums[:count, : len(problem.quantities)]


def _score(problem: Allocation, choices: Array, sums: Array) -> None:
    """The sums of whole blocks of ROWS assignments."""
    p, (rows, variables) = problem.packed, choices.shape
    terms, most, wide = len(p.offset), p.variable.shape[1], p.values.shape[1]
    turned, places = np.empty(variables * ROWS // 8, np.uint64), np.empty((terms, ROWS), np.int32)
    values, *tables = (int(h.ctypes.data) for h in (p.values, p.offset, p.variable, p.stride, sums, turned, places))
    args = np.array([choices.ctypes.data, rows, variables, values, len(p.values), terms, *tables], np.int64)
    call(address(Kernel(score_choices, (wide, most))), int(args.ctypes.data), 0)


def best_first(problem: Allocation, choices: Array) -> Array:
    """The assignments within the limits, the best first, each once."""
    choices = np.unique(np.asarray(choices, np.uint8).reshape(-1, len(problem.options)), axis=0)
    found = scores(problem, choices)
    within = np.isfinite(found[:, 0]) & (found[:, 1:] <= np.array(problem.limits[1:])).all(1)
    choices, found = choices[within], found[within]
    return choices[np.lexsort(found.T[::-1])]
