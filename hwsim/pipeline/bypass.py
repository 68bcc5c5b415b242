"""A quantized network with some of its quantizers taken out again, and what each quantizer of a layer is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph, SourceNode
from hwsim.quant import QuantParams

__all__ = ["Quantized", "bypass"]


@dataclass(frozen=True)
class Quantized:
    """A QDQ network beside the float network that it was made of; layers have the same names in both.

    Raises HwsimError when a layer of the quantized network is not in the float one.
    """

    network: SourceGraph
    real: SourceGraph

    def __post_init__(self) -> None:
        if not self.layers:
            raise HwsimError(self.network.name, "must have layers with quantized weights (DequantizeLinear before them)", "none")
        for name in self.layers:
            if name not in self.real_nodes:
                raise HwsimError(self.network.name, "must be quantized from this float network, with the same names", f"'{name}'")

    @property
    def makers(self) -> dict[str, SourceNode]:
        return {t: n for n in self.network.nodes for t in n.outputs}

    @property
    def real_nodes(self) -> dict[str, SourceNode]:
        return {n.name: n for n in self.real.nodes}

    @property
    def layers(self) -> dict[str, SourceNode]:
        """The layers with quantized weights, by name."""
        makers = self.makers
        found = ((n, makers.get(n.inputs[1]) if len(n.inputs) > 1 else None) for n in self.network.nodes)
        return {n.name: n for n, maker in found if maker is not None and self.of_constant(maker)}

    def of_constant(self, node: SourceNode) -> bool:
        """Whether a node gives the real numbers of stored weights."""
        held = self.network.tensors.get(node.inputs[0])
        return node.kind == "DequantizeLinear" and held is not None and held.constant is not None

    def weights(self, layer: str) -> QuantParams:
        """How a layer's weights are stored."""
        return self._params(self.makers[self.layers[layer].inputs[1]])

    def activation(self, layer: str) -> QuantParams | None:
        """How a layer's input is stored, None where it is real."""
        node = self.makers.get(self.layers[layer].inputs[0])
        return self._params(node) if node is not None and node.kind == "DequantizeLinear" else None

    def _params(self, node: SourceNode) -> QuantParams:
        scale = self.network.tensors[node.inputs[1]].constant
        zero = self.network.tensors.get(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
        stored = self.network.tensors.get(node.inputs[0])
        if scale is None or (zero is None and stored is None):
            raise HwsimError(node.where, "must have a constant scale and a known number format")
        fmt = formats.get(zero.format if zero is not None else stored.format)  # type: ignore[union-attr]
        shift = np.zeros(scale.array.shape, np.int64) if zero is None or zero.constant is None else zero.constant.array.astype(np.int64)
        axis = int(node.attrs.get("axis", 1)) if scale.array.ndim else None
        return QuantParams(fmt, scale.array, shift.reshape(scale.array.shape), axis)


def bypass(q: Quantized, weights: bool, activations: bool) -> SourceGraph:
    """The quantized network with real weights and biases, or without quantizers of activations, or both."""
    names: dict[str, str] = {}
    tensors, nodes = dict(q.network.tensors), []
    for node in q.network.nodes:
        if activations and node.kind in ("QuantizeLinear", "DequantizeLinear") and not q.of_constant(node):
            names[node.outputs[0]] = names.get(node.inputs[0], node.inputs[0])
            continue
        inputs = tuple(names.get(t, t) for t in node.inputs)
        if weights and node.name in q.layers:
            own = q.real_nodes[node.name].inputs[1:]
            tensors.update({t: q.real.tensors[t] for t in own if t})
            inputs = (inputs[0], *own)
        nodes.append(replace(node, inputs=inputs))
    outputs = tuple(names.get(t, t) for t in q.network.outputs)
    tensors.update({t: replace(tensors[old], name=t) for t, old in zip(outputs, q.network.outputs, strict=True)})
    return replace(q.network, nodes=tuple(nodes), tensors=tensors, outputs=outputs)
