"""NSGA-II (Deb et al., IEEE TEC 2002) by pymoo: a population that is good at the loss and at every limited quantity at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.allocation import Allocation
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.searches._scores import best_first, scores

EXACT = False
POPULATION = 128
GENERATIONS = 250


def search(problem: Allocation, seed: int = 0) -> Array:
    """The assignments of the last population that are within the limits, the best first.

    Every limited quantity is an objective beside the loss and a constraint.  The first population is random, but for the assignments
    that take the same share of everybody's options.  Raises HwsimError when pymoo is not installed.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.optimize import minimize
    except ImportError:
        raise HwsimError("--strategy evolution", "must have pymoo", "an environment without it", "pip install 'hwsim[search]'") from None
    repair = RoundingRepair()
    crossover, mutation = SBX(prob=0.9, eta=3.0, vtype=float, repair=repair), PM(eta=3.0, vtype=float, repair=repair)
    algorithm = NSGA2(POPULATION, sampling=_first(problem, seed), crossover=crossover, mutation=mutation)
    found = minimize(_problem(problem), algorithm, ("n_gen", GENERATIONS), seed=seed, verbose=False)
    return best_first(problem, np.asarray(found.pop.get("X")).astype(np.uint8))


def _first(problem: Allocation, seed: int) -> Array:
    """The first population."""
    most = np.array(problem.options) - 1
    even = np.rint(np.linspace(0, 1, max(problem.options))[:, None] * most)
    drawn = np.random.default_rng(seed).integers(0, most + 1, (max(POPULATION - len(even), 0), len(most)))
    return np.concatenate([even, drawn]).astype(float)


def _problem(problem: Allocation) -> Any:
    from pymoo.core.problem import Problem

    limited = [q for q in range(1, len(problem.limits)) if np.isfinite(problem.limits[q])]
    limits = np.array([problem.limits[q] for q in limited])

    class _Assignments(Problem):
        def _evaluate(self, x: Array, out: dict[str, Array], *args: object, **kwargs: object) -> None:
            found = scores(problem, np.rint(x).astype(np.uint8))
            found = np.where(np.isfinite(found), found, np.finfo(np.float64).max / 1e9)
            out["F"] = found[:, [0, *limited]]
            out["G"] = found[:, limited] / np.maximum(np.abs(limits), 1e-300) - np.sign(limits) if limited else np.zeros((len(x), 1))

    upper = np.array(problem.options, float) - 1
    return _Assignments(n_var=len(upper), n_obj=1 + len(limited), n_ieq_constr=max(len(limited), 1), xl=np.zeros(len(upper)), xu=upper)
