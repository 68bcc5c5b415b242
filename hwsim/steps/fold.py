"""Batch normalization folded into the convolution or linear layer before it, on the file's own operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array

__all__ = ["fold_batch_norm"]

FOLDS_INTO = ("Conv", "ConvTranspose", "Gemm")


def fold_batch_norm(source: SourceGraph) -> SourceGraph:
    """W' = gamma W / sqrt(var + eps), b' = beta + gamma (b - mean) / sqrt(var + eps) (Jacob et al. 2018, section 3.2).

    A normalization whose input has another reader, or is made by anything else, stays.
    """
    uses = Counter(t for n in source.nodes for t in n.inputs) + Counter(source.outputs)
    maker = {t: n for n in source.nodes for t in n.outputs}
    tensors, folded, gone = dict(source.tensors), {}, set()
    for norm in source.nodes:
        host = maker.get(norm.inputs[0]) if norm.kind == "BatchNormalization" else None
        if host is None or host.kind not in FOLDS_INTO or uses[norm.inputs[0]] != 1 or not _constant_weights(source, host, norm):
            continue
        folded[host.name] = _fold(host, norm, tensors)
        gone.add(norm.name)
    nodes = tuple(folded.get(n.name, n) for n in source.nodes if n.name not in gone)
    used = {t for n in nodes for t in (*n.inputs, *n.outputs)} | {*source.inputs, *source.outputs}
    return replace(source, nodes=nodes, tensors={k: t for k, t in tensors.items() if k in used})


def _constant_weights(source: SourceGraph, host: SourceNode, norm: SourceNode) -> bool:
    """Whether all that folds is constant, and the bias has one number for each channel."""
    parts = [source.tensors.get(t) for t in (*host.inputs[1:], *norm.inputs[1:]) if t]
    bias = source.tensors[host.inputs[2]].shape if len(host.inputs) > 2 and host.inputs[2] in source.tensors else None
    return all(t is not None and t.constant is not None for t in parts) and (bias is None or bias == source.tensors[norm.inputs[1]].shape)


def _fold(host: SourceNode, norm: SourceNode, tensors: dict[str, SourceTensor]) -> SourceNode:
    """The host with new weights and bias, computed when they are first needed."""
    weight, bias = tensors[host.inputs[1]], tensors[host.inputs[2]] if len(host.inputs) > 2 and host.inputs[2] else None
    parts = [tensors[t].constant for t in norm.inputs[1:]]
    epsilon = float(norm.attrs.get("epsilon", 1e-5))
    axis = _output_axis(host)

    def gain_and_shift() -> tuple[Array, Array]:
        gamma, beta, mean, variance = (p.array.astype(np.float64) for p in parts if p is not None)
        gain = gamma / np.sqrt(variance + epsilon)
        before = 0.0 if bias is None or bias.constant is None else bias.constant.array.astype(np.float64) * host.attrs.get("beta", 1.0)
        return gain, beta + gain * (before - mean)

    def scaled() -> Array:
        assert weight.constant is not None
        array = weight.constant.array
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        gain = gain_and_shift()[0]
        if host.kind == "ConvTranspose" and host.attrs.get("group", 1) > 1:
            return _scale_groups(array, gain, int(host.attrs["group"]))
        return (array * gain.reshape(shape)).astype(np.float32)

    assert weight.shape is not None
    names = _unused(f"{weight.name}.folded", tensors), f"{host.name}.bias.folded"
    tensors[names[0]] = SourceTensor(names[0], "float32", weight.shape, Constant(scaled, names[0]))
    channels = tensors[norm.inputs[1]].shape
    tensors[names[1]] = SourceTensor(names[1], "float32", channels, Constant(lambda: gain_and_shift()[1].astype(np.float32), names[1]))
    attrs = {k: v for k, v in host.attrs.items() if k != "beta"}
    return replace(host, inputs=(host.inputs[0], *names), outputs=norm.outputs[:1], attrs=attrs)


def _unused(name: str, taken: Collection[str]) -> str:
    """A name of its own for each of several hosts that share their weights."""
    while name in taken:
        name += "_"
    return name


def _output_axis(host: SourceNode) -> int:
    if host.kind == "Gemm":
        return 0 if host.attrs.get("transB", 0) else 1
    return 1 if host.kind == "ConvTranspose" else 0


def _scale_groups(array: Array, gain: Array, groups: int) -> Array:
    """Transposed weights (inputs, outputs of a group, kernel): the output channel depends on the group of the input."""
    grouped = array.reshape(groups, -1, *array.shape[1:])
    wide = gain.reshape(groups, 1, -1, *[1] * (array.ndim - 2))
    return (grouped * wide).reshape(array.shape).astype(np.float32)
