"""A network with a batch of one made ready for any batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor

__all__ = ["free_batch"]

BATCH = "batch"


def free_batch(source: SourceGraph) -> SourceGraph:
    """The network with a symbolic first dimension of its inputs; constant shapes of Reshape that begin with 1 keep the batch instead.

    Weights stored in whole steps are taken as the real numbers that they are: nothing is quantized at run time any more.
    """
    source = replace(source, nodes=tuple(_without_steps(n) for n in source.nodes))
    if any(not source.tensors[t].shape or source.tensors[t].shape[0] != 1 for t in source.inputs):  # type: ignore[index]
        return source
    tensors = dict(source.tensors)
    nodes = tuple(_kept_batch(n, tensors) for n in source.nodes)
    for t in (*source.inputs, *source.outputs):
        shape = tensors[t].shape
        tensors[t] = replace(tensors[t], shape=(BATCH, *shape[1:]) if shape else shape)
    return replace(source, nodes=nodes, tensors=tensors)


def _without_steps(node: SourceNode) -> SourceNode:
    if "weight_steps" not in node.attrs:
        return node
    return replace(node, attrs={k: v for k, v in node.attrs.items() if k != "weight_steps"})


def _kept_batch(node: SourceNode, tensors: dict[str, SourceTensor]) -> SourceNode:
    """A Reshape to (1, ...) as one to (0, ...): 0 copies the input's dimension."""
    wanted = tensors.get(node.inputs[1]) if node.kind == "Reshape" else None
    if wanted is None or wanted.constant is None or node.attrs.get("allowzero"):
        return node
    shape = wanted.constant.array
    if len(shape) < 2 or shape[0] != 1:
        return node
    name = f"{wanted.name}.free"
    free = np.concatenate([np.zeros(1, shape.dtype), shape[1:]])
    tensors[name] = SourceTensor(name, wanted.format, wanted.shape, Constant.of(free, name))
    return replace(node, inputs=(node.inputs[0], name))
