"""Steps down in the order of sensitivity (AIMET's automatic mixed precision, phases 1 and 2), until the limits are kept.

Phase 1 lists for every variable and option what it alone adds to the loss of the best assignment; phase 2 walks down that list and
takes each step that saves something, as long as a limit is broken.
"""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.quant import Array
from hwsim.searches._scores import best_first, scores

EXACT = False


def search(problem: Allocation, seed: int = 0) -> Array:
    """One assignment within the limits, or none."""
    now = np.array([n - 1 for n in problem.options], np.uint8)
    steps = [(v, o) for v, n in enumerate(problem.options) for o in range(n - 1)]
    alone = np.repeat(now[None], len(steps) + 1, 0)
    for i, (v, o) in enumerate(steps):
        alone[i, v] = o
    loss = scores(problem, alone)[:, 0]
    for i in np.argsort(loss[:-1], kind="stable"):
        found = best_first(problem, now)
        if len(found):
            return found
        v, o = steps[i]
        now[v] = min(o, now[v])
    return best_first(problem, now)
