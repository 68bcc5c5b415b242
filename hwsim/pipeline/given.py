"""Encodings given from outside: the widths that they ask for, whether they fit the network and the chip, and those of a result."""

from __future__ import annotations

from hwsim.encodings import Encoding, Encodings
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph, SourceGraph
from hwsim.pipeline.recipe import Recipe
from hwsim.precision import Precision
from hwsim.steps.absorb import MAC_OPS
from hwsim.steps.plan_quantizers import Plan, weights_constant, weights_name
from hwsim.steps.write_qdq import Choices

__all__ = ["check_given", "encodings_of", "unused", "with_given_widths"]


def encodings_of(plan: Plan, choices: Choices) -> Encodings:
    """The encodings of a quantized network; weights have the names that they have in the float file."""
    activations = {t: Encoding.of(choices.activations[t]) for t in choices.activations}
    weights = {weights_name(plan.graph, plan.layers[layer]): Encoding.of(held.quant) for layer, held in choices.weights.items()}
    return Encodings(activations, weights)


def with_given_widths(precision: Precision, graph: Graph, given: Encodings) -> Precision:
    """The precision with the widths of the encodings where there are any."""
    layers = dict(precision.layers)
    for node in graph.nodes:
        if node.op in MAC_OPS and weights_constant(graph, node):
            weight, activation = precision.of(node.name)
            w, a = given.weights.get(weights_name(graph, node)), given.activations.get(node.inputs[0])
            layers[node.name] = w.bits if w else weight, a.bits if a else activation
    return Precision(precision.default, layers)


def check_given(given: Encodings, source: SourceGraph, recipe: Recipe) -> None:
    """Raises HwsimError for encodings of tensors that the network lacks, and for stages that would move the ranges."""
    if recipe.before:
        raise HwsimError(
            "--method", "must leave the ranges as they are with --use-encodings", "+".join(recipe.before), "such as nearest or adaround"
        )
    known = {*source.tensors, *(t for n in source.nodes for t in n.outputs)}
    for group in (given.activations, given.weights):
        for name in group:
            if name not in known:
                raise HwsimError("--use-encodings", "must name tensors of the network", repr(name), suggest(name, known))


def unused(given: Encodings, plan: Plan) -> list[str]:
    """The encodings of tensors that the chip's rules do not quantize."""
    quantized = {t for t, _ in plan.edges}
    weights = {weights_name(plan.graph, node) for node in plan.layers.values()}
    return [*(t for t in given.activations if t not in quantized), *(t for t in given.weights if t not in weights)]
