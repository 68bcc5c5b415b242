"""High biases absorbed by the layer behind, so that activations start nearer to 0 (Nagel et al., ICCV 2019, section 4.1.3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.graph import Node
from hwsim.pipeline.channels import channel_readers, follows_relu
from hwsim.pipeline.constants import Layers
from hwsim.pipeline.statistics import measured_statistics
from hwsim.quant import Array

__all__ = ["absorb_biases"]

DEVIATIONS = 3


def absorb_biases(layers: Layers, feeds: Mapping[str, Array]) -> int:
    """b1 - c and b2 + W2 c, c = max(0, mean - 3 deviations), for layers with a ReLU behind; how many channels were moved.

    The output is the same wherever the ReLU's input is above c, which is all but 0.13 % of a Gaussian.  Statistics are batch
    normalization's, else those of the calibration inputs.  Readers must have a bias, and pad nothing: padding is 0, not -c.
    """
    pairs = [(n, readers) for n in layers.nodes if n.name in layers.biases and (readers := _absorbers(layers, n))]
    missing = {n.outputs[0] for n, _ in pairs} - set(layers.statistics)
    if missing:
        current = Layers.of(layers.written(), {t: x.shape for t, x in feeds.items()}).graph
        layers.statistics.update(measured_statistics(current, feeds, missing, layers.statistics))
    moved = 0
    for node, readers in pairs:
        mean, deviation = layers.statistics[node.outputs[0]]
        c = np.maximum(mean - DEVIATIONS * deviation, 0)
        moved += int((c > 0).sum())
        layers.biases[node.name] = layers.biases[node.name] - c
        layers.statistics[node.outputs[0]] = mean - c, deviation
        for r in readers:
            layers.shift_inputs(r, c)
    return moved


def _absorbers(layers: Layers, node: Node) -> list[Node]:
    """The readers of a layer that can take its biases; none where one of them cannot."""
    readers = channel_readers(layers.graph, node, layers.weights) if follows_relu(layers.graph, node) else None
    able = readers and all(r.name in layers.biases and not _pads(r) for r in readers)
    return readers if readers and able else []


def _pads(node: Node) -> bool:
    return node.op == "conv" and any((*node.attrs["before"], *node.attrs["after"]))
