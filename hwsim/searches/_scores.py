"""What assignments cost: the sum of a problem's terms, compiled."""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.kernels.compiling import Kernel, address, call
from hwsim.kernels.scores import score_choices
from hwsim.quant import Array

__all__ = ["best_first", "scores"]


def scores(problem: Allocation, choices: Array) -> Array:
    """The quantities (n, quantities) of assignments (n, variables), one index of an option per variable."""
    choices = np.ascontiguousarray(choices, np.uint8)
    p, (rows, variables) = problem.packed, choices.shape
    assert variables == len(problem.options), "one choice per variable"
    assert (choices < np.array(problem.options)).all(), "choices are indices of options"
    sums = np.zeros((rows, len(problem.quantities)))
    values, offset, variable, stride = (int(h.ctypes.data) for h in (p.values, p.offset, p.variable, p.stride))
    tables = (values, len(p.values), len(p.offset), offset, variable, stride)
    args = np.array([choices.ctypes.data, rows, variables, *tables, sums.ctypes.data], np.int64)
    call(address(Kernel(score_choices, (len(problem.quantities), p.variable.shape[1]))), int(args.ctypes.data), 0)
    return sums


def best_first(problem: Allocation, choices: Array) -> Array:
    """The assignments within the limits, the best first, each once."""
    choices = np.unique(np.asarray(choices, np.uint8).reshape(-1, len(problem.options)), axis=0)
    found = scores(problem, choices)
    within = np.isfinite(found[:, 0]) & (found[:, 1:] <= np.array(problem.limits[1:])).all(1)
    choices, found = choices[within], found[within]
    return choices[np.lexsort(found.T[::-1])]
