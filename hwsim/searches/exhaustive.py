"""Every assignment, in branches cut where even the best end is over a limit or worse than a known one (branch and bound); exact."""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.searches import greedy
from hwsim.searches._frontier import Frontier, grow, order_of
from hwsim.searches._scores import best_first, scores

EXACT = True
MOST = 1 << 22


def search(problem: Allocation, seed: int = 0) -> Array:
    """The best assignment.  Raises HwsimError when too many branches stay open."""
    order = order_of(problem)
    known = greedy.search(problem, seed)[:1]
    best = float(scores(problem, known)[0, 0]) if len(known) else np.inf

    slack = 1e-9 * abs(best) if np.isfinite(best) else 0.0

    def prune(now: Frontier) -> Array:
        keep: Array = now.sums[:, 0] + order.least[now.depth, 0] <= best + slack
        if keep.sum() > MOST:
            raise HwsimError("--strategy exhaustive", f"must keep at most {MOST} branches open", int(keep.sum()), "use ilp or pareto")
        return keep

    *_, last = grow(problem, order, prune)
    return best_first(problem, np.concatenate([known, last.choices]))[:1]
