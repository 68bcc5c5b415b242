"""The widths of every layer that lose least accuracy within limits, or that cost least at an accuracy, on a chip; judged bit-true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from hwsim.arch import Arch
from hwsim.decide.belief import Belief
from hwsim.decide.budget import COSTS, Budget, Limits, limits_of
from hwsim.decide.judge import Judge, Verdict, no_assignment, uniform_choices
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import live_bits, losses, problem_of
from hwsim.decide.sensitivity import METRICS, Passing, Sensitivity, sensitivity
from hwsim.decide.study import Question
from hwsim.decide.table import CostTable
from hwsim.decide.ties import tied
from hwsim.errors import HwsimError, suggest
from hwsim.io.store import Cells
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.shelf import load
from hwsim.simulate import area_of

__all__ = ["OBJECTIVES", "Found", "Point", "Wish", "search"]

OBJECTIVES = ("accuracy", *COSTS)
FRONT = 8  # budgets along which the front is drawn
HALVINGS = 6
TRIES = 3  # of finding each candidate
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Wish:
    """What is looked for: the objective, limits, the search that finds it and the metric of loss that it believes.

    `candidates` is how many assignments of the greatest accuracy are quantized and compared.
    """

    objective: str = "accuracy"
    budgets: tuple[Budget, ...] = ()
    strategy: str = "ilp"
    metric: str = "kl"
    ties: tuple[str, ...] = ()
    seed: int = 0
    candidates: int = 8

    def __post_init__(self) -> None:
        for name, value, known in (("--objective", self.objective, OBJECTIVES), ("--metric", self.metric, METRICS)):
            if value not in known:
                raise HwsimError(name, f"must be one of {', '.join(known)}", repr(value), suggest(value, known))
        floor = any(b.name == "accuracy" for b in self.budgets)
        if self.objective != "accuracy" and not floor:
            raise HwsimError("--budget", f"must say what accuracy may be lost for --objective {self.objective}", "nothing", "accuracy=-1")
        if self.objective == "accuracy" and floor:
            raise HwsimError("--budget", "must limit costs for --objective accuracy", "accuracy itself")


@dataclass(frozen=True, eq=False)
class Point:
    """An assignment: how it came, its widths, what it costs, the loss that is foretold, and what was run of it.

    `verdict` and `rated` are of the network quantized layer after layer, on the samples to judge on and on those of the sensitivity;
    `one_shot` of the network made of candidates, on the latter.
    """

    how: str
    choice: tuple[int, ...]
    precision: Precision
    costs: Mapping[str, float]
    weight_bits: float
    activation_bits: float
    peak_bits: float
    loss: float
    verdict: Verdict | None = None
    rated: Verdict | None = None
    one_shot: Verdict | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """The answer, with all that it was compared with; `judged` were quantized layer after layer, `front` and `uniform` in one shot."""

    question: Question
    wish: Wish
    limits: Limits
    sensitivity: Sensitivity
    best: Point
    widest: Point
    real: Verdict
    uniform: tuple[Point, ...]
    front: tuple[Point, ...]
    judged: tuple[Point, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    variants: tuple[tuple[Mapping[str, str], Arch, Point | None], ...] = ()

    @property
    def table(self) -> CostTable:
        return self.question.table


def search(
    question: Question,
    wish: Wish,
    rated: Question | None = None,
    variants: Sequence[tuple[Mapping[str, str], Arch]] = (),
    executor: Executor | None = None,
    keep: Path | None = None,
    progress: Progress | None = None,
    look: Callable[[str], None] | None = None,
) -> Found:
    """Find widths and judge them on `question`'s samples.

    `rated` is the same question on the samples that the sensitivity is measured on (left out: the same).  `variants` are further chips,
    by what is changed of the first: the search is done on each, and the most promising of all is the answer; relative limits count from
    the first.  What the file `keep` holds is not run again.  Raises HwsimError when no assignment is within the limits.
    """
    start, rated = perf_counter(), rated or question
    measured: dict[bytes, Sensitivity] = {}
    chips = [({}, question.arch), *variants]
    with closing(Cells(keep) if keep else Passing()) as store:
        searches = []
        for fields, arch in chips:
            own = replace(rated, arch=arch)
            if own.key not in measured:
                measured[own.key] = sensitivity(own, needs_trace(wish), executor, keep, progress)
            searches.append((fields, _Search(replace(question, arch=arch), own, wish, measured[own.key], store, look)))
        seconds, start = {"sensitivity": perf_counter() - start}, perf_counter()
        limits = searches[0][1].limits
        predicted = [(fields, s, s.predicted(limits.at_clock(s.question.arch.clock_hz / question.arch.clock_hz))) for fields, s in searches]
        seconds["search"], start = perf_counter() - start, perf_counter()
        best = _most_promising(predicted, wish)
        found = best.answer(limits.at_clock(best.question.arch.clock_hz / question.arch.clock_hz))
        seconds["runs on the chip"] = perf_counter() - start
    table = tuple((f, s.question.arch, p) for f, s, p in predicted) if variants else ()
    return replace(found, seconds=seconds, variants=table)


def needs_trace(wish: Wish) -> bool:
    """Whether the metric of loss is made of gradients."""
    return wish.metric in ("trace", "whole_trace", "fisher")


def _most_promising(predicted: Sequence[tuple[Mapping[str, str], _Search, Point | None]], wish: Wish) -> _Search:
    """The chip on which least is lost, or on which it costs least."""
    alive = [(p, s) for _, s, p in predicted if p is not None]
    if not alive:
        raise predicted[0][1].nothing()
    cost = COSTS.get(wish.objective, "cycles")
    spent = [p.costs[cost] / (s.question.arch.clock_hz if cost == "cycles" else 1) for p, s in alive]
    ranks = [(p.loss, c) if wish.objective == "accuracy" else (c, p.loss) for (p, _), c in zip(alive, spent, strict=True)]
    return alive[ranks.index(min(ranks))][1]


@dataclass(frozen=True, eq=False)
class _Search:
    """One chip's search."""

    question: Question
    rated: Question
    wish: Wish
    sensitivity: Sensitivity
    store: Any
    look: Callable[[str], None] | None

    @cached_property
    def table(self) -> CostTable:
        return self.question.table

    @cached_property
    def loss(self) -> list[Array]:
        return losses(self.table, self.sensitivity, self.wish.metric)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.question, self.store, self.look)

    @cached_property
    def quick(self) -> Judge:
        """On the samples of the sensitivity."""
        return Judge(self.rated, self.store, self.look)

    @cached_property
    def widest(self) -> Point:
        return self.point("widest", [len(o) - 1 for o in self.table.options])

    @cached_property
    def limits(self) -> Limits:
        """The wish's limits, relative ones counted from the widest assignment on this chip."""
        widest, macs = self.widest, sum(int(n) for n in self._macs)
        return limits_of(self.wish.budgets, widest.costs, widest.peak_bits, self.question.arch.clock_hz, macs, self.area)

    @cached_property
    def area(self) -> float:
        """Of the chip, in mm2."""
        return sum(area_of(self.question.arch).values())

    @cached_property
    def _macs(self) -> Array:
        """Multiply-accumulates of each layer."""
        return self.table.cells("bitops")[:, -1, -1] / (max(self.table.weight_bits) * max(self.table.activation_bits))

    def point(self, how: str, choice: Sequence[int] | Array) -> Point:
        """An assignment with its costs."""
        row = np.array(choice, np.uint8)[None]
        costs = dict(zip(QUANTITIES, map(float, self.table.evaluate(row)[0]), strict=True))
        means = [self._mean_bits(row[0], kind) for kind in ("weights", "activations")]
        foretold = float(sum(r[o] for r, o in zip(self.loss, row[0], strict=True)))
        peak = float(live_bits(self.table, row)[0])
        return Point(how, tuple(map(int, row[0])), self.table.precision(row[0]), costs, means[0], means[1], peak, foretold)

    def _mean_bits(self, choice: Array, kind: str) -> float:
        """Mean bits, weighted by stored elements for weights and by elements of activations."""
        at = [v for v, w in enumerate(self.table.widths) if w.kind == kind]
        sizes = [sum(self.table.graph.tensors[t].elements for t in self.table.widths[v].tensors) for v in at]
        bits = [self.table.options[v][choice[v]] for v in at]
        return float(np.average(bits, weights=sizes)) if at else 0.0

    def solve(self, limits: Limits, objective: str, strategy: str = "", loss: Sequence[Array] | None = None) -> Point | None:
        """The search's best assignment within limits, by another loss than the measured one where it is given."""
        problem = tied(problem_of(self.table, loss or self.loss, limits, objective), self.table, self.wish.ties)
        choices = problem.expanded(load("searches", strategy or self.wish.strategy).search(problem.problem, self.wish.seed))
        return self.point("search", choices[0]) if len(choices) else None

    def predicted(self, limits: Limits) -> Point | None:
        """What the search says before anything is judged; for a wish of least cost, at half of the loss that there is.  None also for a
        chip that is too large."""
        if limits.area is not None and self.area > limits.area:
            return None
        if self.wish.objective == "accuracy":
            return self.solve(limits, "loss")
        loss = 0.5 * sum(float(row[0]) for row in self.loss)
        return self.solve(replace(limits, costs={**limits.costs, "loss": loss}), COSTS[self.wish.objective])

    def answer(self, limits: Limits) -> Found:
        """The judged answer."""
        judged = [*(self._best_within(limits) if self.wish.objective == "accuracy" else self._cheapest(limits))]
        if not judged:
            raise self.nothing()
        widest = self._judged(self.widest)
        uniform, front = self._uniform(), [*self._front(limits)]
        shot = [replace(p, one_shot=self.quick.one_shot(p.precision)) for p in (*uniform, *front)]
        rest = tuple(shot[: len(uniform)]), tuple(shot[len(uniform) :])
        best = self._best(judged, widest, limits)
        return Found(self.question, self.wish, limits, self.sensitivity, best, widest, self.judge.real(), *rest, tuple(judged))

    def _best(self, judged: Sequence[Point], widest: Point, limits: Limits) -> Point:
        if self.wish.objective == "accuracy":
            return min(judged, key=_rated)
        cost = COSTS[self.wish.objective]
        kept = [p for p in (*judged, widest) if self._meets(p, limits)]
        return min(kept, key=lambda p: (p.costs[cost], -_accuracy(p)))

    def _judged(self, point: Point) -> Point:
        return replace(point, verdict=self.judge.sequential(point.precision))

    def _uniform(self) -> list[Point]:
        return [self.point(f"uniform w{w}a{a}", choice) for w, a, choice in uniform_choices(self.table)]

    def _best_within(self, limits: Limits) -> Iterator[Point]:
        """The candidates, run on the samples of the sensitivity; the best there and the uniform width judged too."""
        rated = self._candidates(limits)
        best = min(rated, key=_rated, default=None)
        yield from (self._judged(p) if p is best or p.how != "search" else p for p in rated)

    def _candidates(self, limits: Limits) -> list[Point]:
        """The uniform width within the limits that is foretold to lose least, the search's answer, and the exact answers to the loss as
        it is believed after all that were run: by turns the expected loss and a draw of what may be so."""
        uniform = sorted((p for p in self._uniform() if _within(p, limits)), key=lambda p: p.loss)[:1]
        belief, rng, found = Belief(self.loss), np.random.default_rng(self.wish.seed), dict[tuple[int, ...], Point]()
        first = self.solve(limits, "loss")
        for p in {p.choice: p for p in (*([first] if first else []), *uniform)}.values():
            self._try(p, found, belief)
        for turn in range(TRIES * self.wish.candidates if found else 0):
            if len(found) >= self.wish.candidates:
                break
            other = self.solve(limits, "loss", "ilp", belief.drawn(rng) if turn % 2 else belief.mean())
            if other is not None and other.choice not in found:
                self._try(other, found, belief)
        return [*found.values()]

    def _try(self, p: Point, found: dict[tuple[int, ...], Point], belief: Belief) -> None:
        """Quantize an assignment and learn what it loses."""
        found[p.choice] = replace(p, rated=self.quick.sequential(p.precision))
        belief.learn(p.choice, found[p.choice].rated.kl - self.sensitivity.widest.kl)  # type: ignore[union-attr]

    def _cheapest(self, limits: Limits) -> Iterator[Point]:
        """Uniform widths from the cheapest up to the first that is accurate enough; then ever lower costs below it, by bisection."""
        cost = COSTS[self.wish.objective]
        failed: list[Point] = []
        start = self._judged(self.widest)
        for p in sorted(self._uniform(), key=lambda p: (p.costs[cost], p.loss)):
            if not _within(p, limits) or any(_narrower(p, f) for f in failed):
                continue
            judged = self._judged(p)
            yield judged
            if self._meets(judged, limits):
                start = judged
                break
            failed.append(p)
        yield from self._cheaper(start, limits)

    def _cheaper(self, start: Point, limits: Limits) -> Iterator[Point]:
        """Assignments of ever lower costs; a cost is given up when several of them are not accurate enough."""
        cost, belief, rng = COSTS[self.wish.objective], Belief(self.loss), np.random.default_rng(self.wish.seed)
        self._learn(belief, start)
        low, high = self._least(cost), start.costs[cost]
        for _ in range(HALVINGS):
            if high - low <= 0.005 * self.widest.costs[cost]:
                return
            middle = 0.5 * (low + high)
            for p in self._within_cost(replace(limits, costs={**limits.costs, cost: middle}), belief, rng):
                yield p
                if self._meets(p, limits):
                    high = min(middle, p.costs[cost])
                    break
            else:
                low = middle

    def _within_cost(self, limits: Limits, belief: Belief, rng: np.random.Generator) -> Iterator[Point]:
        """Different assignments within limits, judged: the best by the loss that is expected, then by draws of what may be so."""
        seen: set[tuple[int, ...]] = set()
        for turn in range(TRIES):
            p = self.solve(limits, "loss", loss=belief.drawn(rng) if turn else belief.mean())
            if p is not None and p.choice not in seen:
                seen.add(p.choice)
                judged = self._judged(p)
                self._learn(belief, judged)
                yield judged

    def _learn(self, belief: Belief, judged: Point) -> None:
        """What a judged assignment lost."""
        assert judged.verdict is not None
        belief.learn(judged.choice, judged.verdict.kl - self._judged(self.widest).verdict.kl)  # type: ignore[union-attr]

    def _least(self, cost: str) -> float:
        """The least that any assignment costs."""
        found = self.solve(Limits({}), cost, "ilp")
        return self.widest.costs[cost] if found is None else found.costs[cost]

    def nothing(self) -> HwsimError:
        """The complaint that no assignment is within the limits, with the least of each limited cost."""
        costs = [n for n, q in COSTS.items() if q in self.limits.costs]
        least = [f"{n} {self._least(COSTS[n]) / self.widest.costs[COSTS[n]]:.3g}x" for n in costs]
        if self.limits.peak_bits is not None:
            narrow = np.zeros((1, len(self.table.options)), np.uint8)
            least.append(f"peak {float(live_bits(self.table, narrow)[0]) / self.widest.peak_bits:.3g}x")
        if self.limits.area is not None:
            least.append(f"area {self.area:.3g} mm2 without --vary")
        return no_assignment([f"{b.name}={b.text}" for b in self.wish.budgets], least)

    def _meets(self, point: Point, limits: Limits) -> bool:
        return limits.accuracy_loss is None or _accuracy(point) >= self._judged(self.widest).verdict.accuracy - limits.accuracy_loss - 1e-12  # type: ignore[union-attr]

    def _front(self, limits: Limits) -> Iterator[Point]:
        """The least foretold loss along budgets of the limited cost (or latency), by the exact search."""
        cost = next(iter(limits.costs), COSTS.get(self.wish.objective, "cycles"))
        seen: set[tuple[int, ...]] = set()
        for share in np.linspace(0, 1, FRONT):
            budget = self._least(cost) + share * (self.widest.costs[cost] - self._least(cost))
            found = self.solve(Limits({cost: budget * (1 + 1e-9)}), "loss", "ilp")
            if found is not None and found.choice not in seen:
                seen.add(found.choice)
                yield replace(found, how="front")


def _accuracy(point: Point) -> float:
    assert point.verdict is not None
    return point.verdict.accuracy


def _rated(point: Point) -> float:
    """Less is better: the cross-entropy, which tells near assignments apart where accuracy is noise; without class labels the divergence
    from the float network."""
    assert point.rated is not None
    return point.rated.kl if point.rated.loss is None else point.rated.loss


def _within(point: Point, limits: Limits) -> bool:
    kept = all(point.costs[q] <= limit for q, limit in limits.costs.items())
    return kept and (limits.peak_bits is None or point.peak_bits <= limits.peak_bits)


def _narrower(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a.choice, b.choice, strict=True))
