"""A float network run node by node in NumPy, with a look at every tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwsim.graph import Graph, Node
from hwsim.pipeline.align import Statistics, aligned
from hwsim.quant import Array
from hwsim.shelf import load

__all__ = ["Found", "compute", "constant_or", "forward", "last_uses"]

Found = Array | tuple[Array, ...]


def compute(node: Node, arrays: list[Array | None]) -> Found:
    """What an operator makes of real numbers."""
    found: Found = load("ops", node.op).compute(node, *arrays)
    return found


def constant_or(graph: Graph, t: str, values: Mapping[str, Array]) -> Array | None:
    """The numbers of a tensor: its own where it is constant, None where an optional input is absent."""
    if not t:
        return None
    constant = graph.tensors[t].constant
    return constant.array if constant is not None else values[t]


def last_uses(graph: Graph) -> dict[str, int]:
    """The index of the last node that reads each tensor."""
    return {t: i for i, n in enumerate(graph.nodes) for t in n.inputs}


def forward(graph: Graph, feeds: Mapping[str, Array], watch: Callable[[str, Array], None], statistics: Statistics) -> None:
    """Run a float network; `watch` sees every tensor with its name, and nothing is kept longer than it is needed.

    Tensors whose `statistics` are given are made to have them.
    """
    values, last = dict(feeds), last_uses(graph)
    for i, node in enumerate(graph.nodes):
        found = compute(node, [constant_or(graph, t, values) for t in node.inputs])
        for t, array in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False):
            values[t] = aligned(array, array, statistics[t])[0] if t in statistics else array
            watch(t, values[t])
        for t in [t for t in node.inputs if last.get(t) == i]:
            values.pop(t, None)
