"""A network's weights and biases changed by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwsim.graph import Constant, Graph, SourceGraph, SourceTensor
from hwsim.quant import Array

__all__ = ["Layers"]


class Layers:
    """The weights and biases of a float network's layers, by layer name, to be changed in place and written back.

    Layers that share a tensor with another are left out: what is done to one of them would change the other.
    """

    def __init__(self, source: SourceGraph, graph: Graph, ops: tuple[str, ...] = ("conv", "matmul")) -> None:
        self.source, self.graph = source, graph
        uses = Counter(t for n in source.nodes for t in n.inputs)
        self.weights: dict[str, Array] = {}
        self.biases: dict[str, Array] = {}
        for n in graph.nodes:
            w = graph.tensors[n.inputs[1]] if n.op in ops else None
            if w is None or w.constant is None or w.name not in source.tensors or w.format != "float32":
                continue
            bias = graph.tensors[n.inputs[2]] if len(n.inputs) > 2 and n.inputs[2] else None
            own = uses[w.name] == 1 and (bias is None or (bias.constant is not None and uses[bias.name] == 1 and len(bias.shape) == 1))
            if own and n.attrs.get("beta", 1.0) == 1 and n.attrs.get("alpha", 1.0) == 1:
                self.weights[n.name] = w.constant.array.astype(np.float64)
                if bias is not None and bias.constant is not None:
                    self.biases[n.name] = bias.constant.array.astype(np.float64)

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
