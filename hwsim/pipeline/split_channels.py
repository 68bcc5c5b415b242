"""Outlier channels split in a whole network: layers get more input channels, and a gather of channels before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwsim.graph import Constant, Node, Shape, SourceGraph, SourceNode, SourceTensor
from hwsim.pipeline.constants import Layers
from hwsim.precision import Precision
from hwsim.quantizers.ocs import extra_channels, split

__all__ = ["split_channels"]


def split_channels(source: SourceGraph, shapes: Mapping[str, Shape], precision: Precision) -> SourceGraph:
    """The same function with the outlier channels of every layer but the first, the last and grouped ones split."""
    layers = Layers.of(source, shapes)
    chosen = {n.name: n for n in layers.nodes[1:-1] if n.attrs.get("group", 1) == 1}
    tensors, nodes = dict(source.tensors), []
    for node in source.nodes:
        if node.name not in chosen:
            nodes.append(node)
            continue
        axis = _input_axis(chosen[node.name])
        rows = np.moveaxis(layers.weights[node.name], axis, 0)
        flat = rows.reshape(len(rows), -1)
        reads, found = split(flat, extra_channels(len(rows)), 2 ** (precision.of(node.name)[0] - 1) - 1)
        weights = np.moveaxis(found.reshape(-1, *rows.shape[1:]), 0, axis).astype(np.float32)
        tensors[node.inputs[1]] = replace(tensors[node.inputs[1]], shape=weights.shape, constant=Constant.of(weights, node.inputs[1]))
        nodes += _gathered(node, reads, chosen[node.name], tensors)
    return replace(source, nodes=tuple(nodes), tensors=tensors)


def _gathered(node: SourceNode, reads: np.ndarray, layer: Node, tensors: dict[str, SourceTensor]) -> list[SourceNode]:
    """A gather of channels and the layer behind it."""
    index, twice = f"{node.name}.channels", f"{node.name}.split"
    tensors[index] = SourceTensor(index, "int64", reads.shape, Constant.of(reads, index))
    axis = -1 if layer.op == "matmul" else 1
    gather = SourceNode("Gather", twice, (node.inputs[0], index), (f"{twice}.out",), {"axis": axis}, node.opset)
    return [gather, replace(node, inputs=(f"{twice}.out", *node.inputs[1:]))]


def _input_axis(node: Node) -> int:
    return (1 if node.attrs["trans_b"] else 0) if node.op == "matmul" else 1
