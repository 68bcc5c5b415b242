"""Networks given as tables of layer shapes, as simulators publish them: priced like any other, but without numbers to execute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim import formats
from hwsim.graph import Constant, Graph, Node, Shape, SourceGraph, Tensor
from hwsim.quant import QuantParams

__all__ = ["LayerShape", "network"]


@dataclass(frozen=True)
class LayerShape:
    """One convolution or fully-connected layer (`kernel` None) with the stored widths of its operands in bits.

    `channels` and `outputs` count those of all groups; `size` is the input's height and width without padding; `pad` is
    top, left, bottom, right.
    """

    name: str
    channels: int
    outputs: int
    size: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] | None = None
    stride: int = 1
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    batch: int = 1
    weight_bits: int = 8
    activation_bits: int = 8
    output_bits: int = 8


def network(name: str, layers: Sequence[LayerShape]) -> Graph:
    """Layers that follow each other in time; each has an input of its own, since pools and sums between them are not in the table."""
    tensors: dict[str, Tensor] = {}
    nodes = tuple(_node(layer, tensors) for layer in layers)
    inputs, outputs = tuple(n.inputs[0] for n in nodes), tuple(n.outputs[0] for n in nodes)
    digest = hashlib.sha256(repr((name, tuple(layers))).encode()).hexdigest()
    return Graph(name, nodes, tensors, inputs, outputs, SourceGraph(name, (), {}, inputs, outputs, digest))


def _node(layer: LayerShape, tensors: dict[str, Tensor]) -> Node:
    x, w, y = f"{layer.name}.in", f"{layer.name}.weight", f"{layer.name}.out"
    shapes: tuple[Shape, ...]
    if layer.kernel is None:
        shapes = ((layer.batch, layer.channels), (layer.outputs, layer.channels), (layer.batch, layer.outputs))
        node = Node(layer.name, "matmul", (x, w), (y,), {"trans_a": False, "trans_b": True, "alpha": 1.0, "beta": 1.0})
    else:
        before, after = layer.pad[:2], layer.pad[2:]
        out = [(n + b + a - k) // layer.stride + 1 for n, b, a, k in zip(layer.size, before, after, layer.kernel, strict=True)]
        shapes = (
            (layer.batch, layer.channels, *layer.size),
            (layer.outputs, layer.channels // layer.groups, *layer.kernel),
            (layer.batch, layer.outputs, *out),
        )
        window = {"strides": (layer.stride,) * 2, "dilations": (1, 1), "before": before, "after": after, "kernel": layer.kernel}
        node = Node(layer.name, "conv", (x, w), (y,), {**window, "group": layer.groups})
    widths = (layer.activation_bits, layer.weight_bits, layer.output_bits)
    tensors.update(_stored(zip((x, w, y), shapes, widths, strict=True), w))
    return node


def _stored(given: Iterable[tuple[str, tuple[int, ...], int]], constant: str) -> dict[str, Tensor]:
    """Tensors on symmetric grids of a scale of 1."""
    found = {}
    for name, shape, bits in given:
        quant = QuantParams(formats.get(f"int{bits}"), np.ones((), np.float32), np.zeros((), np.int64))
        found[name] = Tensor(name, shape, f"int{bits}", quant, Constant(None, name) if name == constant else None)
    return found
