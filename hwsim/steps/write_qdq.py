"""Quantizers written into a float network: QuantizeLinear and DequantizeLinear where the plan says, stored weights and biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim import formats
from hwsim.arch import Rules
from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array, QuantParams
from hwsim.steps.plan_quantizers import OUTPUT, Plan

__all__ = ["Choices", "StoredWeights", "write_qdq"]


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """The stored numbers of a layer's weights, in the weights' own shape, and what they mean."""

    stored: Array
    quant: QuantParams


@dataclass(frozen=True)
class Choices:
    """What calibration decided: quantizers of activations by tensor, weights by layer, and biases by layer where they changed."""

    activations: dict[str, QuantParams] = field(default_factory=dict)
    weights: dict[str, StoredWeights] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)


def write_qdq(source: SourceGraph, plan: Plan, choices: Choices) -> SourceGraph:
    """The QDQ network: `source` (float, batch normalization folded) with the plan's quantizers as chosen."""
    writer = _Writer(plan, source, choices)
    for node in source.nodes:
        writer.rewrite(node)
    writer.close()
    return writer.finish()


class _Writer:
    """Rewrites a file's nodes one by one with quantizers on the chosen edges."""

    def __init__(self, plan: Plan, source: SourceGraph, choices: Choices) -> None:
        self.plan, self.source, self.choices = plan, source, choices
        self.nodes: list[SourceNode] = []
        self.tensors = dict(source.tensors)
        self.done: dict[str, str] = {}
        self.scales: dict[str, Array] = {}
        self.held: dict[str, StoredWeights] = {}

    @property
    def rules(self) -> Rules:
        return self.plan.rules

    def rewrite(self, node: SourceNode) -> None:
        """The node with quantized inputs, and quantized weights and bias when it multiplies and accumulates."""
        inputs = [self.activation(t) if (t, node.name) in self.plan.edges else t for t in node.inputs]
        if node.name in self.plan.layers:
            inputs[1] = self.weights(node.name, node.inputs[1])
            inputs[2:3] = self.bias(node, self.scales[inputs[0]], self.scales[inputs[1]])
        self.nodes.append(replace(node, inputs=tuple(inputs)))

    def close(self) -> None:
        """Quantizers on the outputs that stay stored numbers up to the end; the outputs keep their names."""
        for t in self.source.outputs:
            if (t, OUTPUT) in self.plan.edges:
                names = {t: f"{t}.computed", self.activation(t): t}
                self.nodes = [_renamed(n, names) for n in self.nodes]

    def activation(self, name: str) -> str:
        """QuantizeLinear and DequantizeLinear behind an activation, made once."""
        if name not in self.done:
            quant = self.choices.activations[name]
            base = f"{name}.a{quant.bits}"
            stored, back = f"{base}.quantized", f"{base}.dequantized"
            parameters = self._parameters(base, quant)
            self.nodes.append(SourceNode("QuantizeLinear", f"{base}.quantize", (name, *parameters), (stored,), {}, self.source.opset))
            self.nodes.append(SourceNode("DequantizeLinear", f"{base}.dequantize", (stored, *parameters), (back,), {}, self.source.opset))
            self.scales[back] = quant.scale
            self.done[name] = back
        return self.done[name]

    def _parameters(self, base: str, quant: QuantParams) -> tuple[str, str]:
        names, fmt = (f"{base}.scale", f"{base}.zero_point"), quant.format
        self.tensors[names[0]] = SourceTensor(names[0], "float32", quant.scale.shape, Constant.of(quant.scale, names[0]))
        zero = quant.zero_point.astype(fmt.dtype)
        self.tensors[names[1]] = SourceTensor(names[1], fmt.name, zero.shape, Constant.of(zero, names[1]))
        return names

    def weights(self, layer: str, name: str) -> str:
        """Stored weights behind a DequantizeLinear; layers that share a tensor share what is stored of it."""
        chosen = self.choices.weights[layer]
        back = f"{name}.w{chosen.quant.bits}"
        while back in self.held and not np.array_equal(self.held[back].stored, chosen.stored):
            back += "_"
        if back not in self.held:
            self._dequantize(back, chosen)
            self.held[back] = chosen
        return back

    def bias(self, node: SourceNode, x_scale: Array, w_scale: Array) -> list[str]:
        """The bias input: the file's or the corrected one, in int32 with scale x_scale w_scale where the chip wants it."""
        name = node.inputs[2] if len(node.inputs) > 2 else ""
        corrected = self.choices.biases.get(node.name)
        if corrected is not None:
            name = f"{name or node.name}.corrected"
            while name in self.tensors:
                name += "_"
            self.tensors[name] = SourceTensor(name, "float32", corrected.shape, Constant.of(corrected.astype(np.float32), name))
        constant = self.tensors[name].constant if name else None
        if constant is None or constant.array.ndim != 1 or self.rules.bias != "int32":
            return [name] if name else []
        back = f"{name}.int32"
        while back in self.scales:
            back += "_"
        scale, fmt = (x_scale * w_scale).astype(np.float32), formats.get("int32")
        stored = np.clip(np.rint(constant.array.astype(np.float64) / scale), fmt.low, fmt.high)
        quant = QuantParams(fmt, scale, np.zeros(scale.shape, np.int64), 0 if scale.ndim else None)
        self._dequantize(back, StoredWeights(stored, quant))
        return [back]

    def _dequantize(self, back: str, held: StoredWeights) -> None:
        name, quant = f"{back}.stored", held.quant
        stored = held.stored.astype(quant.format.dtype)
        self.tensors[name] = SourceTensor(name, quant.format.name, stored.shape, Constant.of(stored, name))
        parameters = self._parameters(back, quant)
        attrs = {} if quant.axis is None else {"axis": quant.axis}
        self.nodes.append(SourceNode("DequantizeLinear", f"{back}.dequantize", (name, *parameters), (back,), attrs, self.source.opset))
        self.scales[back] = quant.scale

    def finish(self) -> SourceGraph:
        """The rewritten network, whose integers are ONNX Runtime's; constants that nothing reads any more are dropped."""
        used = {t for n in self.nodes for t in (*n.inputs, *n.outputs)} | {*self.source.inputs, *self.source.outputs}
        tensors = {k: t for k, t in self.tensors.items() if k in used}
        return replace(self.source, nodes=tuple(self.nodes), tensors=tensors, arithmetic="onnxruntime", absorbs=True)


def _renamed(node: SourceNode, names: Mapping[str, str]) -> SourceNode:
    return replace(node, inputs=tuple(names.get(t, t) for t in node.inputs), outputs=tuple(names.get(t, t) for t in node.outputs))
