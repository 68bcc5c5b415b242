"""Why each layer got its bits: what one step narrower or wider would save and cost, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.cost import LayerCost
from hwsim.decide.budget import COSTS
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import losses
from hwsim.decide.search import Found
from hwsim.quant import Array
from hwsim.simulate import price
from hwsim.steps.widths import Width

__all__ = ["Reason", "gain", "named_cost", "reasons"]

NOTHING = 1e-9


@dataclass(frozen=True)
class Reason:
    """One width: what was chosen, the loss foretold at each option, the change of the cost at each, how it runs, and why."""

    width: str
    kind: str
    layers: tuple[str, ...]
    bits: int
    options: tuple[int, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    runs_as: str
    bound_by: str
    text: str


def named_cost(found: Found) -> str:
    """The cost that decides: the objective, else the first that is limited, else latency."""
    limited = [n for n, q in COSTS.items() if q in found.limits.costs]
    return found.wish.objective if found.wish.objective in COSTS else (limited or ["latency"])[0]


def gain(found: Found) -> float:
    """The share of the deciding cost that the cheapest uniform width saves: what a chip gives for narrow widths."""
    cost = COSTS[named_cost(found)]
    return 1 - min(p.costs[cost] for p in found.uniform) / found.widest.costs[cost]


def reasons(found: Found) -> tuple[Reason, ...]:
    """One for each width of the best assignment, in run order."""
    table, name = found.table, named_cost(found)
    choice, at = np.array(found.best.choice, np.uint8), QUANTITIES.index(COSTS[name])
    rows = losses(table, found.sensitivity, found.wish.metric)
    layers = {s: c for c in price(table.arch, table.program(choice)).layers for s in (c.name,)}
    reference = found.widest.costs[COSTS[name]]
    answer = []
    for v, (width, options) in enumerate(zip(table.widths, table.options, strict=True)):
        others = np.repeat(choice[None], len(options), 0)
        others[:, v] = np.arange(len(options))
        costs = (table.evaluate(others)[:, at] - found.best.costs[COSTS[name]]) / reference
        layer = next((layers[n] for n in width.nodes if n in layers), None)
        room = found.limits.costs.get(COSTS[name], np.inf) / reference - found.best.costs[COSTS[name]] / reference
        text = _text(width, options, int(choice[v]), rows[v], costs, name, room, layer)
        lost, cost = tuple(map(float, rows[v])), tuple(map(float, costs))
        runs, bound = ("", "") if layer is None else (layer.precision, layer.bound_by)
        answer.append(Reason(width.name, width.kind, width.nodes, options[choice[v]], tuple(options), lost, cost, runs, bound, text))
    return tuple(answer)


def _text(width: Width, options: Sequence[int], o: int, loss: Array, costs: Array, name: str, room: float, layer: LayerCost | None) -> str:
    narrower = [i for i, b in enumerate(options) if b < options[o]]
    wider = [i for i, b in enumerate(options) if b > options[o]]
    if not narrower and not wider:
        rule = "the chip's rule for the first and last layer" if width.least > 1 else "the only width to choose from"
        return f"{options[o]} bits by {rule}."
    parts = []
    if narrower:
        parts.append(_narrower(options[narrower[-1]], -float(costs[narrower[-1]]), float(loss[narrower[-1]] - loss[o]), name, layer))
    if wider:
        parts.append(_wider(options[wider[0]], float(costs[wider[0]]), float(loss[o] - loss[wider[0]]), name, room))
    return " ".join(parts)


def _narrower(bits: int, saved: float, lost: float, name: str, layer: LayerCost | None) -> str:
    if saved <= NOTHING:
        runs = f" (it runs as {layer.precision}, bound by {layer.bound_by})" if layer is not None and layer.precision else ""
        return f"{bits} bits would save no {name}{runs}."
    return f"{bits} bits would save {_percent(saved)} of the {name} and lose {lost:.3g} more."


def _wider(bits: int, cost: float, won: float, name: str, room: float) -> str:
    if cost <= NOTHING:
        return f"{bits} bits would cost no {name}, and lose {won:.3g} less." if won > 0 else f"{bits} bits would lose no less."
    over = ", which is over the limit" if cost > room + NOTHING else ""
    return f"{bits} bits would lose {won:.3g} less and take {_percent(cost)} more{over}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
