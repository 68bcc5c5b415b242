"""Which layers read the output channels of a layer, through operators that keep channels apart."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Graph, Node
from hwsim.quant import Array

__all__ = ["channel_readers", "follows_relu", "input_channels", "output_channels", "scale_inputs", "scale_outputs"]

KEEPS = ("max_pool", "average_pool", "resize")
MOVES = ("reshape", "transpose")


def channel_readers(graph: Graph, node: Node, weights: dict[str, Array], functions: tuple[str, ...] = ("relu",)) -> list[Node] | None:
    """The layers that read a layer's channels, None when anything but layers of `weights` reads them.

    On the way may stand activations of `functions`, pools, resizing, and moves of one number a channel.
    """
    channels, found, pending = _channels(graph, node), [], [node.outputs[0]]
    while pending:
        t = pending.pop()
        if t in graph.outputs:
            return None
        for reader in graph.consumers[t]:
            if reader.name in weights and reader.inputs[0] == t and reader.inputs.count(t) == 1:
                if len(input_channels(reader, weights[reader.name])) != channels:
                    return None
                found.append(reader)
            elif _keeps(graph, reader, t, channels, functions):
                pending.append(reader.outputs[0])
            else:
                return None
    return found


def _channels(graph: Graph, node: Node) -> int:
    return graph.tensors[node.outputs[0]].shape[-1 if node.op == "matmul" else 1]


def _keeps(graph: Graph, reader: Node, t: str, channels: int, functions: tuple[str, ...]) -> bool:
    if reader.op == "unary":
        return reader.attrs["function"] in functions
    x = graph.tensors[t]
    return reader.op in KEEPS or (reader.op in MOVES and x.elements == channels * x.shape[0])


def follows_relu(graph: Graph, node: Node) -> bool:
    """Whether nothing but one ReLU reads the layer."""
    readers = graph.consumers[node.outputs[0]]
    alone = len(readers) == 1 and node.outputs[0] not in graph.outputs
    return alone and readers[0].op == "unary" and readers[0].attrs["function"] == "relu"


def output_channels(node: Node, weights: Array) -> Array:
    """Weights as (output channels, everything else)."""
    if node.op == "matmul":
        return weights if node.attrs["trans_b"] else weights.T
    return weights.reshape(len(weights), -1)


def input_channels(node: Node, weights: Array) -> Array:
    """Weights as (input channels, everything else)."""
    if node.op == "matmul":
        return weights.T if node.attrs["trans_b"] else weights
    groups = node.attrs["group"]
    grouped = weights.reshape(groups, len(weights) // groups, weights.shape[1], -1)
    return np.moveaxis(grouped, 2, 1).reshape(groups * weights.shape[1], -1)


def scale_outputs(node: Node, weights: Array, gain: Array) -> Array:
    """Weights with every output channel multiplied by its own number."""
    if node.op == "matmul":
        return weights * (gain[:, None] if node.attrs["trans_b"] else gain)
    return weights * gain.reshape(-1, *[1] * (weights.ndim - 1))


def scale_inputs(node: Node, weights: Array, gain: Array) -> Array:
    """Weights with every input channel multiplied by its own number."""
    if node.op == "matmul":
        return weights * (gain if node.attrs["trans_b"] else gain[:, None])
    groups = node.attrs["group"]
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    return (grouped * gain.reshape(groups, 1, -1, *[1] * (weights.ndim - 2))).reshape(weights.shape)
