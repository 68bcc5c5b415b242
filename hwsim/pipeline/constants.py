"""A network's weights and biases changed by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwsim.graph import Constant, Graph, Node, Shape, SourceGraph, SourceTensor
from hwsim.pipeline.align import Statistics
from hwsim.pipeline.channels import input_channels, scale_inputs, scale_outputs
from hwsim.quant import Array
from hwsim.steps.read import read

__all__ = ["Layers"]


class Layers:
    """The weights and biases of a float network's layers, by layer name, to be changed in place and written back.

    Layers that share a tensor with another are left out: what is done to one of them would change the other.  `statistics` are the
    mean and standard deviation of the channels of layers' outputs, by tensor, where they are known; they change with the layers.
    """

    def __init__(self, source: SourceGraph, graph: Graph, statistics: Statistics | None = None) -> None:
        self.source, self.graph = source, graph
        self.statistics = dict(statistics or {})
        uses = Counter(t for n in source.nodes for t in n.inputs)
        self.weights: dict[str, Array] = {}
        self.biases: dict[str, Array] = {}
        for n in graph.nodes:
            w = graph.tensors[n.inputs[1]] if n.op in ("conv", "matmul") else None
            if w is None or w.constant is None or w.name not in source.tensors or w.format != "float32":
                continue
            bias = graph.tensors[n.inputs[2]] if len(n.inputs) > 2 and n.inputs[2] else None
            own = uses[w.name] == 1 and (bias is None or (bias.constant is not None and uses[bias.name] == 1 and len(bias.shape) == 1))
            if own and n.attrs.get("beta", 1.0) == 1 and n.attrs.get("alpha", 1.0) == 1:
                self.weights[n.name] = w.constant.array.astype(np.float64)
                if bias is not None and bias.constant is not None:
                    self.biases[n.name] = bias.constant.array.astype(np.float64)

    @classmethod
    def of(cls, source: SourceGraph, shapes: Mapping[str, Shape] | None = None, statistics: Statistics | None = None) -> Layers:
        """The layers of a float network, read at some input shapes."""
        return cls(source, read(source, shapes), statistics)

    @property
    def nodes(self) -> list[Node]:
        """The layers' nodes in run order."""
        return [n for n in self.graph.nodes if n.name in self.weights]

    def scale_outputs(self, node: Node, gain: Array) -> None:
        """Multiply every output channel by its own number."""
        self.weights[node.name] = scale_outputs(node, self.weights[node.name], gain)
        if node.name in self.biases:
            self.biases[node.name] = self.biases[node.name] * gain
        if node.outputs[0] in self.statistics:
            mean, deviation = self.statistics[node.outputs[0]]
            self.statistics[node.outputs[0]] = mean * gain, deviation * gain

    def scale_inputs(self, node: Node, gain: Array) -> None:
        """Multiply the weights of every input channel by their own number."""
        self.weights[node.name] = scale_inputs(node, self.weights[node.name], gain)

    def shift_inputs(self, node: Node, shift: Array) -> None:
        """Add to the bias what inputs larger by `shift` in each channel give; for layers with a bias that pad nothing."""
        weights = self.weights[node.name]
        if node.op == "matmul":
            added = shift @ input_channels(node, weights)
        else:
            groups = node.attrs["group"]
            sums = weights.reshape(groups, -1, weights.shape[1], weights[0, 0].size).sum(-1)
            added = np.einsum("goi,gi->go", sums, shift.reshape(groups, -1)).reshape(-1)
        self.biases[node.name] = self.biases[node.name] + added

    def written(self) -> SourceGraph:
        """The network with the changed numbers."""
        changed: dict[str, Array] = {}
        for node in self.source.nodes:
            if node.name in self.weights:
                changed[node.inputs[1]] = self.weights[node.name]
            if node.name in self.biases:
                changed[node.inputs[2]] = self.biases[node.name]
        return replace(self.source, tensors={**self.source.tensors, **_held(self.source, changed)})


def _held(source: SourceGraph, changed: Mapping[str, Array]) -> dict[str, SourceTensor]:
    return {name: replace(source.tensors[name], constant=Constant.of(array.astype(np.float32), name)) for name, array in changed.items()}
