"""The search for the best widths as an allocation: loss by width from a sensitivity, costs from the chip's table, limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from hwsim.allocation import Allocation, Term
from hwsim.decide.budget import Limits
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.sensitivity import Sensitivity
from hwsim.decide.table import CostTable
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.steps.residency import lifetimes, storage_bits

__all__ = ["live_bits", "losses", "problem_of"]

MOST_ENTRIES = 1 << 16
Live = list[tuple[float, dict[int, float]]]


def losses(table: CostTable, sensitivity: Sensitivity, metric: str) -> list[Array]:
    """What each option of each width adds to the loss."""
    return [
        np.array([sensitivity.increase(w, b, metric) for b in options], np.float64)
        for w, options in zip(table.widths, table.options, strict=True)
    ]


def problem_of(table: CostTable, loss: Sequence[Array], limits: Limits, objective: str = "loss") -> Allocation:
    """The allocation whose first quantity is the objective and whose others are limited: each `loss` or one of QUANTITIES."""
    names = [objective, *(q for q in limits.costs if q != objective)]
    terms = [_cost_term(t, names) for t in table.allocation.terms]
    if "loss" in names:
        terms += [Term((v,), np.stack([row if q == "loss" else np.zeros(len(row)) for q in names])) for v, row in enumerate(loss)]
    if limits.peak_bits is not None:
        terms += _peak_terms(table, limits.peak_bits, len(names))
    options, widths = tuple(map(len, table.options)), tuple(w.name for w in table.widths)
    return Allocation(options, tuple(names), tuple(terms), (np.inf, *(limits.costs[q] for q in names[1:])), widths, _features(table))


def _cost_term(t: Term, names: Sequence[str]) -> Term:
    """The costs that count; a combination that cannot run is forbidden."""
    runs = np.where(np.isfinite(t.values[0]), 0.0, np.inf)
    return Term(t.variables, np.stack([t.values[QUANTITIES.index(q)] if q in QUANTITIES else runs for q in names]))


def live_bits(table: CostTable, choices: Array) -> Array:
    """The most bits of activations that are alive at one layer, of each assignment (n, widths)."""
    found = np.zeros(len(choices))
    for fixed, by_width in _live(table):
        total = np.full(len(choices), fixed)
        for v, elements in by_width.items():
            total += elements * np.array(table.options[v])[choices[:, v]]
        found = np.maximum(found, total)
    return found


def _live(table: CostTable) -> Live:
    """Of every layer: bits of live activations that have no width to choose, and elements by width."""
    program = table.program([len(o) - 1 for o in table.options])
    width_of = {t: v for v, w in enumerate(table.widths) for t in w.tensors}
    lives, found = lifetimes(program), []
    for i in range(len(program.layers)):
        fixed, by_width = 0.0, dict[int, float]()
        for t in (t for t, (first, last) in lives.items() if first <= i <= last):
            if t in width_of:
                by_width[width_of[t]] = by_width.get(width_of[t], 0.0) + program.tensors[t].elements
            else:
                fixed += storage_bits(program.tensors[t])
        found.append((fixed, by_width))
    return found


def _peak_terms(table: CostTable, limit: float, quantities: int) -> Iterator[Term]:
    """Combinations of widths whose live activations are too large, forbidden."""
    for fixed, by_width in _live(table):
        scope = tuple(by_width)
        shape = tuple(len(table.options[v]) for v in scope)
        if prod(shape) > MOST_ENTRIES:
            raise HwsimError(
                "--budget",
                f"peak must concern at most {MOST_ENTRIES} combinations of widths at one layer",
                prod(shape),
                "give fewer widths",
            )
        bits = np.full(shape, fixed)
        for axis, (v, elements) in enumerate(by_width.items()):
            bits += elements * np.array(table.options[v]).reshape(-1, *[1] * (len(scope) - axis - 1))
        values = np.zeros((quantities, *shape))
        values[0] = np.where(bits > limit, np.inf, 0.0)
        yield Term(scope, values)


def _features(table: CostTable) -> Array:
    """HAQ's state of each width, from 0 to 1: depthwise, input and output channels, stride, kernel, weights, input size, kind."""
    nodes = {n.name: n for n in table.graph.nodes}
    rows = []
    for w in table.widths:
        node = nodes[w.nodes[0]]
        x = table.graph.tensors[node.inputs[0]].shape
        weights = table.graph.tensors[node.inputs[1]] if node.name in table.layers else None
        shape = weights.shape if weights is not None else (1,)
        kernel, stride = (node.attrs.get(k, (1,)) for k in ("kernel", "strides"))
        group = node.attrs.get("group", 1)
        channels = x[1] if len(x) > 2 else x[-1]
        numbers = (float(group > 1), channels, shape[0], stride[0], kernel[0], weights.elements if weights is not None else 0, x[-1])
        rows.append([*numbers, float(w.kind == "weights")])
    values = np.array(rows, np.float64)
    return values / np.maximum(values.max(0), 1e-300)
