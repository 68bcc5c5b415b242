"""Cross-layer equalization: output channels of a layer and the input channels behind them made equally large (Nagel et al., ICCV 2019)."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node
from hwsim.pipeline.channels import channel_readers, input_channels, output_channels
from hwsim.pipeline.constants import Layers
from hwsim.quant import Array

__all__ = ["equalize"]

ROUNDS = 20
CONVERGED = 1e-4


def equalize(layers: Layers) -> None:
    """The same function with W1_i / s_i, b1_i / s_i and W2_i s_i, s_i = sqrt(r1_i r2_i) / r2_i, r = max|w| of the channel (eq. 11).

    Pairs are a layer and all layers that read it through ReLU, pools and resizing (several readers have one r2, their largest);
    not across sums and concatenations.  Depthwise layers are the second of one pair and the first of the next.  Swept until
    converged, 20 times at most.
    """
    pairs = [(n, channel_readers(layers.graph, n, layers.weights)) for n in layers.nodes]
    for _ in range(ROUNDS):
        largest = max((_equalize(layers, node, readers) for node, readers in pairs if readers), default=1.0)
        if largest < 1 + CONVERGED:
            break


def _equalize(layers: Layers, node: Node, readers: list[Node]) -> float:
    """Equalize one pair; the largest factor by which a channel changed."""
    weights = layers.weights
    r1 = np.abs(output_channels(node, weights[node.name])).max(1)
    r2 = np.max([np.abs(input_channels(r, weights[r.name])).max(1) for r in readers], 0)
    s = _scales(r1, r2)
    layers.scale_outputs(node, 1 / s)
    for r in readers:
        layers.scale_inputs(r, s)
    return float(np.maximum(s, 1 / s).max())


def _scales(r1: Array, r2: Array) -> Array:
    """s = sqrt(r1 r2) / r2, and 1 for a channel that is zero on a side."""
    alive = (r1 > 0) & (r2 > 0)
    return np.sqrt(np.where(alive, r1, 1.0) / np.where(alive, r2, 1.0))
