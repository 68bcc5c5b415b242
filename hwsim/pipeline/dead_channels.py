"""Channels that say nothing, set to exact zeros, so that their meaningless neighbours' weights set no range."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node
from hwsim.pipeline.channels import channel_readers, follows_relu, input_channels, output_channels
from hwsim.pipeline.constants import Layers
from hwsim.quant import Array

__all__ = ["remove_dead_channels"]

DEAD = 1e-7


def remove_dead_channels(layers: Layers) -> dict[str, int]:
    """Zero dead channels, the function staying the same; how many output channels of each layer are dead.

    Dead is an output channel whose weights are all below 1e-7 of its layer's largest and whose bias is not above 0, before a ReLU,
    and one that no reader gives a weight above 1e-7 of the reader's largest; repeated until nothing more dies.  The output is the
    same to the last bit of float32 sums.
    """
    counts: dict[str, int] = {}
    while True:
        found = {n.name: _dead(layers, n) for n in layers.nodes}
        now = {name: int(dead.sum()) for name, dead in found.items()}
        if now == counts:
            return {k: v for k, v in counts.items() if v}
        counts = now
        for n in layers.nodes:
            _zero(layers, n, found[n.name])


def _dead(layers: Layers, node: Node) -> Array:
    graph, weights = layers.graph, layers.weights[node.name]
    bias = layers.biases.get(node.name, np.zeros(len(output_channels(node, weights))))
    own = _silent(output_channels(node, weights))
    dead = own & (bias <= 0) if follows_relu(graph, node) else own & (bias == 0)
    readers = channel_readers(graph, node, layers.weights, ("relu", "clip"))
    if readers:
        dead |= np.all([_silent(input_channels(r, layers.weights[r.name])) for r in readers], 0)
    return dead


def _silent(rows: Array) -> Array:
    largest = np.abs(rows).max(-1)
    return largest <= DEAD * largest.max(initial=0)


def _zero(layers: Layers, node: Node, dead: Array) -> None:
    keep = (~dead).astype(np.float64)
    layers.scale_outputs(node, keep)
    for reader in channel_readers(layers.graph, node, layers.weights) or ():
        layers.scale_inputs(reader, keep)
