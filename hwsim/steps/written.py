"""The graph as its file means it, with no chip."""

from __future__ import annotations

from hwsim.graph import Graph
from hwsim.program import Layer, Program
from hwsim.steps.step import written_step

__all__ = ["as_written"]


def as_written(graph: Graph) -> Program:
    """One layer per node, in the arithmetic of the file's own runtime."""
    layers = tuple(Layer(n.name, (written_step(graph, n),)) for n in graph.nodes)
    return Program(graph, "", layers, graph.tensors)
