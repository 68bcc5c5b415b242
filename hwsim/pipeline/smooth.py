"""Activations made equally large in all channels, taken up by the layers around them (SmoothQuant, Xiao et al., ICML 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.graph import Node
from hwsim.pipeline.channels import channel_readers, input_channels
from hwsim.pipeline.constants import Layers
from hwsim.pipeline.forward import forward
from hwsim.quant import Array

__all__ = ["smooth"]

SHARE = 0.5  # of the unevenness that goes to the weights behind (eq. 4); all of it where those are depthwise
OUTLIERS = 99.0  # percentile


def smooth(layers: Layers, feeds: Mapping[str, Array]) -> None:
    """The same function with s_j = |X_j|^a / |W_j|^(1-a) taken out of channel j of a layer's output and into its readers.

    For chips with one scale for each output channel, which pay nothing for the factors in the layer before; |X_j| is the 99th
    percentile of the channel on the calibration inputs.
    """
    graph = Layers.of(layers.written(), {t: x.shape for t, x in feeds.items()}).graph
    pairs = {n.name: channel_readers(graph, n, layers.weights) for n in layers.nodes}
    nodes = {n.outputs[0]: n for n in graph.nodes if pairs.get(n.name)}
    reach: dict[str, Array] = {}

    def watch(name: str, values: Array) -> None:
        if name in nodes:
            channels = np.moveaxis(values, -1 if nodes[name].op == "matmul" else 1, 0)
            reach[name] = np.percentile(np.maximum(channels.reshape(len(channels), -1), 0), OUTLIERS, axis=1)

    forward(graph, feeds, watch, layers.statistics)
    for t, node in nodes.items():
        _smooth(layers, node, pairs[node.name] or [], reach[t])


def _smooth(layers: Layers, node: Node, readers: list[Node], reach: Array) -> None:
    behind = np.max([np.abs(input_channels(r, layers.weights[r.name])).max(1) for r in readers], 0)
    depthwise = all(r.op == "conv" and r.attrs["group"] == len(reach) for r in readers)
    share = 1.0 if depthwise else SHARE
    alive = (reach > 0) & (behind > 0)
    s = np.where(alive, np.where(alive, reach, 1.0) ** share / np.where(alive, behind, 1.0) ** (1 - share), 1.0)
    s = np.where(alive, s / np.exp(np.log(s[alive]).mean()) if alive.any() else 1.0, 1.0)
    layers.scale_outputs(node, 1 / s)
    for r in readers:
        layers.scale_inputs(r, s)
