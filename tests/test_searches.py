"""Searches against every assignment written down, and against each other."""

from __future__ import annotations

import subprocess
import sys
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.allocation import Allocation, Term
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.searches._scores import scores
from hwsim.searches.pareto import front, undominated
from hwsim.shelf import load, names

EXACT = [n for n in names("searches") if getattr(load("searches", n), "EXACT", False)]


def every(options: tuple[int, ...]) -> Array:
    return np.stack(np.meshgrid(*(np.arange(n) for n in options), indexing="ij"), -1).reshape(-1, len(options)).astype(np.uint8)


def slow_sum(problem: Allocation, choice: Array) -> Array:
    return sum((t.values[(slice(None), *(int(choice[v]) for v in t.variables))] for t in problem.terms), np.zeros(len(problem.quantities)))


@st.composite
def problems(draw: st.DrawFn, most: int = 2048, quantities: int = 3) -> Allocation:
    """Problems whose items depend on each other, with forbidden combinations and limits from impossible to idle."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    options = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=9 if most <= 4096 else 16).filter(lambda o: prod(o) <= most)))
    terms = [Term((v,), rng.integers(0, 50, (quantities, n)).astype(float)) for v, n in enumerate(options)]
    for _ in range(draw(st.integers(0, 6))):
        scope = tuple(int(v) for v in rng.permutation(len(options))[: rng.integers(0, 4)])
        values = rng.integers(0, 50, (quantities, *(options[v] for v in scope))).astype(float)
        values[0] = np.where(rng.random(values.shape[1:]) < 0.05, np.inf, values[0])
        terms.append(Term(scope, values))
    totals = scores(Allocation(options, ("loss", "a", "b")[:quantities], tuple(terms), (np.inf,) * quantities), every(options))
    tight = draw(st.floats(0, 1))
    limits = [np.quantile(totals[:, q], tight, method="lower") - (tight == 0) for q in range(1, quantities)]
    return Allocation(options, ("loss", "a", "b")[:quantities], tuple(terms), (np.inf, *map(float, limits)))


@given(problems())
def test_scores_are_sums_of_the_terms(problem: Allocation) -> None:
    choices = every(problem.options)[:64]
    assert np.array_equal(scores(problem, choices), [slow_sum(problem, c) for c in choices])


@pytest.mark.parametrize("strategy", EXACT)
@given(problems())
@settings(max_examples=40)
def test_exact_searches_find_the_best(strategy: str, problem: Allocation) -> None:
    totals = scores(problem, every(problem.options))
    within = np.isfinite(totals[:, 0]) & (totals[:, 1:] <= problem.limits[1:]).all(1)
    found = load("searches", strategy).search(problem)
    assert bool(len(found)) == bool(within.any())
    if len(found):
        got = scores(problem, found[:1])[0]
        assert got[0] == totals[within, 0].min()
        assert (got[1:] <= problem.limits[1:]).all()


@given(problems(most=1 << 20, quantities=2))
@settings(max_examples=40, deadline=None)
def test_exact_searches_agree(problem: Allocation) -> None:
    """Up to 2^20 assignments, whose losses are whole numbers: the same least loss, or none by all."""
    found = [load("searches", s).search(problem) for s in EXACT]
    assert len({len(f) > 0 for f in found}) == 1
    assert len({float(scores(problem, f[:1])[0, 0]) for f in found if len(f)}) <= 1


@given(problems(quantities=2))
def test_the_front_is_the_whole_front(problem: Allocation) -> None:
    totals = scores(problem, every(problem.options))
    totals = totals[np.isfinite(totals[:, 0]) & (totals[:, 1:] <= problem.limits[1:]).all(1)]
    found = load("searches", "pareto").search(problem)
    front = {tuple(t) for t in totals if not any((o <= t).all() and (o < t).any() for o in totals)}
    assert {tuple(t) for t in scores(problem, found)} == front
    assert len(found) == len(front)


@given(problems(most=4096, quantities=2), st.integers(1, 40))
@settings(max_examples=60)
def test_a_front_with_few_points_is_as_near_as_it_says(problem: Allocation, most: int) -> None:
    whole, few = front(problem, None), front(problem, most)
    assert whole.excess == 0
    assert front(problem).told(problem) == whole.told(problem) == "exact"
    exact, found = scores(problem, whole.choices), scores(problem, few.choices)
    assert few.excess > 0 or np.array_equal(exact, found)
    for loss, cost in exact[exact[:, 1] + few.excess <= problem.limits[1]]:
        assert ((found[:, 0] <= loss) & (found[:, 1] <= cost + few.excess)).any()
    assert (found[:, 1] <= problem.limits[1]).all()
    if few.excess and len(found):
        assert few.told(problem).startswith("within ")


def test_a_front_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four options each, of which every doubling of the loss halves the cost: nothing is dominated."""
    terms = [Term((v,), np.array([[0.0, 1, 2, 3], [3.0, 2, 1, 0]]) * 4**v) for v in range(4)]
    problem = Allocation((4,) * 4, ("loss", "cost"), tuple(terms), (np.inf, np.inf))
    assert len(load("searches", "pareto").search(problem)) == 256
    monkeypatch.setattr("hwsim.searches.pareto.ROOM", 255)
    with pytest.raises(HwsimError, match="must keep at most 255 partial assignments side by side, not 256; ilp finds"):
        load("searches", "pareto").search(problem)


@pytest.mark.parametrize("quantities", [1, 2, 3, 4])
def test_undominated_against_its_definition(quantities: int) -> None:
    rng = np.random.default_rng(quantities)
    values, state = rng.integers(0, 6, (300, quantities)).astype(float), rng.integers(0, 3, 300)
    keep = undominated(values, state)
    for s in range(3):
        kept, whole = values[keep & (state == s)], values[state == s]
        assert all((kept <= v).all(1).any() for v in whole)
        assert not any((np.delete(kept, i, 0) <= v).all(1).any() for i, v in enumerate(kept))


@pytest.mark.parametrize("strategy", ["greedy", "random"])
@given(problems(most=256))
@settings(max_examples=10)
def test_other_searches_keep_the_limits(strategy: str, problem: Allocation) -> None:
    found = load("searches", strategy).search(problem)
    totals = scores(problem, found) if len(found) else np.zeros((0, len(problem.quantities)))
    assert (totals[:, 1:] <= np.array(problem.limits[1:])).all()
    assert np.isfinite(totals).all()


@pytest.mark.skipif(sys.platform == "win32", reason="the C library's printf by its POSIX name")
def test_what_a_solver_prints_does_not_reach_standard_output() -> None:
    program = """
import ctypes
from hwsim.searches._native import unheard
say = lambda text: ctypes.CDLL(None).printf(text)
print("before")
say(b"printed before;")
with unheard():
    say(b"a line of the solver")
say(b"printed after")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nprinted before;printed after"
