"""Widths that are chosen together: one choice for several of a problem's variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hwsim.allocation import Allocation, Term
from hwsim.decide.table import CostTable
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph, Node
from hwsim.quant import Array

__all__ = ["TIES", "Tied", "tied"]

TIES = ("residual", "layer")


@dataclass(frozen=True, eq=False)
class Tied:
    """A problem in which every group of variables has one choice; `options[v]` says which option of variable v a group's choice is."""

    problem: Allocation
    group: Array
    options: tuple[Array, ...]

    def expanded(self, choices: Array) -> Array:
        """Choices (n, groups) as those of all variables (n, variables)."""
        columns = [m[choices[:, g]] for g, m in zip(self.group, self.options, strict=True)]
        return np.stack(columns, 1).astype(np.uint8) if len(choices) else np.zeros((0, len(columns)), np.uint8)


def tied(problem: Allocation, table: CostTable, kinds: Sequence[str] = ()) -> Tied:
    """The problem with ties of some kinds: `residual` (convolutions whose outputs are added, such as a downsampling one and the main
    path's: HAWQ-V3) and `layer` (weights and input of a layer).  Raises HwsimError for another kind.
    """
    for kind in kinds:
        if kind not in TIES:
            raise HwsimError("--tie", f"must be among {', '.join(TIES)}", repr(kind), suggest(kind, TIES))
    group = np.arange(len(table.widths))
    for pair in _pairs(table, kinds):
        group[group == group[pair[1]]] = group[pair[0]]
    known = sorted(set(group.tolist()))
    group = np.array([known.index(int(g)) for g in group])
    bits = [sorted(set.intersection(*(set(table.options[v]) for v in np.flatnonzero(group == g)))) for g in range(len(known))]
    options = tuple(np.array([table.options[v].index(b) for b in bits[int(g)]]) for v, g in enumerate(group))
    terms = tuple(_of_groups(t, group, options) for t in problem.terms)
    names = tuple(" and ".join(table.widths[v].name for v in np.flatnonzero(group == g)) for g in range(len(known)))
    features = None if problem.features is None else problem.features[[int(np.flatnonzero(group == g)[0]) for g in range(len(known))]]
    return Tied(replace(problem, options=tuple(map(len, bits)), terms=terms, names=names, features=features), group, options)


def _of_groups(t: Term, group: Array, options: Sequence[Array]) -> Term:
    groups = tuple(dict.fromkeys(int(group[v]) for v in t.variables))
    sizes = [next(len(options[v]) for v in t.variables if group[v] == g) for g in groups]
    grids = np.indices(sizes)
    index = tuple(options[v][grids[groups.index(int(group[v]))]] for v in t.variables)
    return Term(groups, t.values[(slice(None), *index)] if index else t.values)


def _pairs(table: CostTable, kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    place = {(n, w.kind): v for v, w in enumerate(table.widths) for n in w.nodes}
    if "layer" in kinds:
        yield from (
            (place[n, "weights"], place[n, "activations"]) for n, kind in place if kind == "weights" and (n, "activations") in place
        )
    if "residual" in kinds:
        for node in (n for n in table.graph.nodes if n.attrs.get("function") == "add"):
            makers = [m.name for t in node.inputs if (m := _maker(table.graph, t, place)) is not None]
            yield from ((place[a, "weights"], place[b, "weights"]) for a, b in pairwise(makers))


def _maker(graph: Graph, t: str, place: dict[tuple[str, str], int]) -> Node | None:
    """The layer with weights that makes a tensor, through quantizers and activations."""
    node = graph.producer.get(t)
    while node is not None and node.op in ("quantize", "dequantize", "unary", "batch_norm"):
        node = graph.producer.get(node.inputs[0])
    return node if node is not None and (node.name, "weights") in place else None
