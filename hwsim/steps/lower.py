"""The graph lowered to what is executed and priced."""

from __future__ import annotations

from hwsim.graph import Graph, Node
from hwsim.program import Accumulator, Layer, Program, Step
from hwsim.shelf import load

__all__ = ["as_written", "step_of"]


def step_of(graph: Graph, node: Node, arithmetic: str, accumulator: Accumulator | None = None) -> Step:
    """One node with its tensors.  It runs on stored integers when all its data is stored and the operator has such a meaning."""
    inputs = tuple(graph.tensor(t) for t in node.inputs)
    outputs = tuple(graph.tensors[t] for t in node.outputs if t)
    return Step(node, inputs, outputs, _is_integer(node, inputs, outputs), arithmetic, accumulator or Accumulator())


def _is_integer(node: Node, inputs: tuple, outputs: tuple) -> bool:
    module = load("ops", node.op)
    stored_in = [t is not None and t.quant is not None and t.quant.format.is_integer for t in inputs]
    stored_out = outputs[0].quant is not None and outputs[0].quant.format.is_integer
    if node.op in ("quantize", "dequantize"):
        return True
    if hasattr(module, "loops"):
        return hasattr(module, "integer") and len(stored_in) > 1 and stored_in[0] and stored_in[1]
    data = stored_in[:1] if getattr(module, "MOVES", False) else stored_in
    return (hasattr(module, "integer") or getattr(module, "MOVES", False)) and stored_out and all(data)


def as_written(graph: Graph) -> Program:
    """The network with no chip: one layer per node, in the arithmetic of the file's own runtime."""
    layers = tuple(Layer(n.name, (step_of(graph, n, graph.source.arithmetic),)) for n in graph.nodes)
    return Program(graph, "", layers, graph.tensors)
