"""The blocks of a network: the parts between tensors through which everything must pass (residual blocks, separable convolutions)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.graph import Graph, Node
from hwsim.pipeline.forward import last_uses
from hwsim.steps.plan_quantizers import Plan

__all__ = ["Block", "blocks_of"]

FEWEST, MOST = 2, 8  # layers of a block


@dataclass(frozen=True)
class Block:
    """Nodes in run order that read one tensor from outside, and make one for outside."""

    nodes: tuple[Node, ...]
    input: str
    output: str


def blocks_of(plan: Plan) -> list[Block]:
    """The network's blocks, of at least two layers where they can be; parts of more than eight layers are none.

    Activations stay with the layer before them.
    """
    found, nodes, start = [], [], plan.graph.inputs[0]
    for node, cut in _cuts(plan.graph):
        nodes.append(node)
        layers = sum(n.name in plan.layers for n in nodes)
        if cut and (layers >= FEWEST or node is plan.graph.nodes[-1]):
            if 0 < layers <= MOST:
                found.append(Block(tuple(nodes), start, cut))
            nodes, start = [], cut
    return found


def _cuts(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Every node with the one tensor that is needed behind it; "" where there are several, or where an activation follows."""
    last = {**last_uses(graph), **dict.fromkeys(graph.outputs, len(graph.nodes))}
    alive = set(graph.inputs)
    for i, node in enumerate(graph.nodes):
        alive = {t for t in (*alive, *node.outputs) if last.get(t, -1) > i}
        readers = [n for t in alive for n in graph.consumers[t]]
        rides = len(alive) == 1 and len(readers) == 1 and readers[0].op in ("unary", "batch_norm")
        yield node, next(iter(alive)) if len(alive) == 1 and not rides else ""
