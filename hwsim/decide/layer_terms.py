"""The cost of every assignment of widths as a sum of terms, each of the few widths on which a layer's price depends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from hwsim.allocation import Term
from hwsim.decide.layer_prices import QUANTITIES, Choice, LayerPricer, Quantities
from hwsim.errors import HwsimError, NotDeployable
from hwsim.program import Layer, Program
from hwsim.quant import Array
from hwsim.steps.place import FALLBACK
from hwsim.steps.residency import lifetimes, plan_residency

__all__ = ["layer_terms"]

MOST_ENTRIES = 1 << 18


@dataclass(frozen=True, eq=False)
class _Block:
    """Nodes that are lowered together at some assignment, and the widths on which their price depends."""

    nodes: frozenset[str]
    scope: tuple[int, ...]
    values: Any
    missing: Any

    def at(self, choice: Choice) -> tuple[int, ...]:
        return tuple(int(choice[v]) for v in self.scope)

    def put(self, choice: Choice, rows: dict[str, Quantities] | None) -> None:
        """Enter what an assignment costs; infinity where it cannot run."""
        own = [q for name, q in rows.items() if name in self.nodes] if rows is not None else [(np.inf,) * len(QUANTITIES)]
        self.values[(slice(None), *self.at(choice))] = np.sum(own, 0) if own else 0.0
        self.missing[self.at(choice)] = False


def layer_terms(pricer: LayerPricer) -> tuple[Term, ...]:
    """One term for each layer, and one for starting an inference.

    Assignments are priced until every combination in every scope was part of one.
    """
    blocks = list(_blocks(pricer))
    widest = np.array([len(o) - 1 for o in pricer.options])
    while any(b.missing.any() for b in blocks):
        choice = _next(blocks, widest)
        rows = pricer.rows(choice)
        for b in (b for b in blocks if b.missing[b.at(choice)]):
            if rows is None:
                alone = widest.copy()
                alone[list(b.scope)] = choice[list(b.scope)]
                b.put(alone, pricer.rows(alone))
            else:
                b.put(choice, rows)
    start = Term((), np.array(pricer.start, np.float64))
    return (start, *(Term(b.scope, b.values) for b in blocks))


def _next(blocks: Sequence[_Block], widest: Array) -> Array:
    """An assignment with a missing combination in as many scopes as it can have."""
    choice, free = widest.copy(), np.ones(len(widest), bool)
    for b in sorted(blocks, key=lambda b: -b.missing.sum()):
        left = b.missing[tuple(slice(None) if free[v] else choice[v] for v in b.scope)]
        if left.any():
            open_ = [v for v in b.scope if free[v]]
            choice[open_] = np.unravel_index(int(np.argmax(left)), left.shape) if open_ else []
            free[open_] = False
    return choice


def _blocks(pricer: LayerPricer) -> Iterable[_Block]:
    width_of = {t: v for v, w in enumerate(pricer.widths) for t in w.tensors}
    programs = [*_uniform_programs(pricer)]
    previous: set[int] = set()
    for layers in _together(programs):
        own = {width_of[t] for layer in layers for t in _tensors(layer) if t in width_of}
        scope = tuple(sorted(own | _deciding(pricer, programs, layers, width_of) | previous))
        shape = tuple(len(pricer.options[v]) for v in scope)
        if prod(shape) > MOST_ENTRIES:
            name = layers[0].name
            raise HwsimError(
                "cost table",
                f"must have at most {MOST_ENTRIES} combinations of widths for layer '{name}'",
                prod(shape),
                "give fewer widths",
            )
        nodes = frozenset(s.name for layer in layers for s in layer.steps)
        yield _Block(nodes, scope, np.zeros((len(QUANTITIES), *shape)), np.ones(shape, bool))
        previous = own if any(layer.unit == FALLBACK for p in programs for layer in p.layers) else set()


def _uniform_programs(pricer: LayerPricer) -> Iterable[Program]:
    weights, activations = (
        max((len(o) for w, o in zip(pricer.widths, pricer.options, strict=True) if w.kind == k), default=1)
        for k in ("weights", "activations")
    )
    for i, j in product(range(weights), range(activations)):
        try:
            yield pricer.program(pricer.uniform(i, j))
        except NotDeployable:
            continue


def _together(programs: Sequence[Program]) -> list[list[Layer]]:
    """Layers of all programs that have nodes in common, in run order."""
    owner: dict[str, list[Layer]] = {}
    for layer in (layer for p in programs for layer in p.layers):
        groups = {id(g): g for s in layer.steps for g in [owner.get(s.name)] if g is not None}
        joined = [layer, *(other for g in groups.values() for other in g)]
        owner.update(dict.fromkeys((s.name for other in joined for s in other.steps), joined))
    return [*{id(g): g for g in owner.values()}.values()]


def _tensors(layer: Layer) -> set[str]:
    return {t.name for s in layer.steps for t in (*s.inputs, *s.outputs) if t is not None}


def _deciding(pricer: LayerPricer, programs: Sequence[Program], layers: Sequence[Layer], width_of: dict[str, int]) -> set[int]:
    """The widths that decide whether the layers' tensors stay on chip, where the network's widths make a difference to it."""
    found: set[int] = set()
    narrow, wide = programs[0], programs[-1]
    fits = [plan_residency(p, pricer.arch).fits for p in (narrow, wide)]
    if fits[0] == fits[1]:
        return found
    lives, names = lifetimes(wide), set().union(*(_tensors(layer) for layer in layers))
    own = {i for i, layer in enumerate(wide.layers) if any(layer.name == other.name for other in layers)}
    near = own.union(*(range(first, last + 1) for t, (first, last) in lives.items() if t in names))
    for i in (i for i in near if fits[0][i] != fits[1][i]):
        found |= {width_of[t] for t, (first, last) in lives.items() if first <= i <= last and t in width_of}
        found |= {width_of[t] for t in _tensors(wide.layers[i]) if t in width_of and pricer.widths[width_of[t]].kind == "weights"}
    return found
