"""A node made a Step: its tensors at hand, and whether it runs on stored integers."""

from __future__ import annotations

from dataclasses import replace

from hwsim.graph import Graph, Node, Tensor
from hwsim.program import Accumulator, Step
from hwsim.shelf import load

__all__ = ["BETWEEN", "is_mac", "step_of", "written_step"]

BETWEEN = ("quantize", "dequantize", "reinterpret", "multi_threshold", "trunc")  # from real to stored numbers and back


def is_mac(op: str) -> bool:
    """Whether an operator multiplies and accumulates."""
    return hasattr(load("ops", op), "loops")


def step_of(graph: Graph, node: Node, arithmetic: str) -> Step:
    """One node with its tensors.  It runs on stored integers when all its data is stored and the operator has such a meaning."""
    inputs = tuple(graph.tensor(t) for t in node.inputs)
    outputs = tuple(graph.tensors[t] for t in node.outputs)
    return Step(node, inputs, outputs, _is_integer(node, inputs, outputs), arithmetic)


def written_step(graph: Graph, node: Node) -> Step:
    """One node in the arithmetic of the file's own runtime, with the accumulator that it has there."""
    step = step_of(graph, node, graph.source.arithmetic)
    bits = getattr(load("arithmetics", step.arithmetic), "accumulator_bits", None)
    return step if bits is None else replace(step, accumulator=Accumulator(bits(step)))


def _is_integer(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> bool:
    if node.op in BETWEEN:
        return True
    module = load("ops", node.op)
    stored = [_is_stored(t) for t in inputs]
    if is_mac(node.op):
        return hasattr(module, "integer") and stored[0] and stored[1]
    moves = getattr(module, "MOVES", False)
    return (moves or hasattr(module, "integer")) and _is_stored(outputs[0]) and all(stored[:1] if moves else stored)


def _is_stored(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.quant is not None and tensor.quant.format.is_integer
