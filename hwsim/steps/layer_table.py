"""Networks given as tables of layer shapes, as simulators publish them: priced like any other, but without numbers to execute."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Constant, Graph, Node, Shape, SourceGraph, Tensor
from hwsim.quant import QuantParams

__all__ = ["LayerShape", "network"]


@dataclass(frozen=True)
class LayerShape:
    """One convolution, fully-connected layer (`kernel` None), pool or sum, with the stored widths of its operands in bits.

    `channels` and `outputs` count those of all groups; `size` is the input's height and width without padding; `pad` is
    top, left, bottom, right.  `op` is conv, matmul, max_pool, average_pool, add or softmax; `after` names the layers whose outputs it
    reads, of which there are none in tables that leave out what lies between.  `zeros` and `output_zeros` are the
    shares of zeros in its input and output, `entropy_bits` the entropy of its weights, where they are known.
    With `real` (float16, ...) its numbers are real, but for weights stored in fewer bits.
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
    op: str = ""
    after: tuple[str, ...] = ()
    zeros: float | None = None
    output_zeros: float | None = None
    entropy_bits: float | None = None
    real: str = ""

    @property
    def kind(self) -> str:
        return self.op or ("matmul" if self.kernel is None else "conv")

    @property
    def output(self) -> Shape:
        """Shape of what it makes."""
        if self.kind == "matmul":
            return self.batch, self.outputs
        kernel = self.kernel or (1, 1)
        pads = [a + b for a, b in zip(self.pad[:2], self.pad[2:], strict=True)]
        return self.batch, self.outputs, *((n + p - k) // self.stride + 1 for n, p, k in zip(self.size, pads, kernel, strict=True))


def network(name: str, layers: Sequence[LayerShape]) -> Graph:
    """Layers that follow each other in time; one that comes `after` none has an input of its own."""
    tensors: dict[str, Tensor] = {}
    nodes = tuple(node for layer in layers for node in _nodes(layer, tensors))
    made, read = {t for n in nodes for t in n.outputs}, {t for n in nodes for t in n.inputs}
    inputs = tuple(dict.fromkeys(t for n in nodes for t in n.inputs if t not in made and tensors[t].constant is None))
    outputs = tuple(t for n in nodes for t in n.outputs if t not in read)
    digest = hashlib.sha256(repr((name, tuple(layers))).encode()).hexdigest()
    return Graph(name, nodes, tensors, inputs, outputs, SourceGraph(name, (), {}, inputs, outputs, digest))


def _nodes(layer: LayerShape, tensors: dict[str, Tensor]) -> list[Node]:
    """The layer's node, behind a flattening one where it needs its input in a row."""
    y, flat = f"{layer.name}.out", []
    sources = [f"{a}.out" for a in layer.after] or [f"{layer.name}.in"]
    shape = (layer.batch, layer.channels, *(layer.size if layer.kind != "matmul" else ()))
    for x in sources:
        tensors.setdefault(x, _data(layer, x, shape, layer.activation_bits, layer.zeros))
    if tensors[sources[0]].shape != shape:
        flat = [Node(f"{layer.name}.flat", "reshape", (sources[0],), (f"{layer.name}.in",), {"shape": shape})]
        sources = [f"{layer.name}.in"]
        tensors[sources[0]] = _data(layer, sources[0], shape, layer.activation_bits, layer.zeros)
    weights = _weights(layer)
    tensors.update({t.name: t for t in (*weights, _data(layer, y, layer.output, layer.output_bits, layer.output_zeros))})
    return [
        *flat,
        Node(layer.name, "binary" if layer.kind == "add" else layer.kind, (*sources, *(w.name for w in weights)), (y,), _attrs(layer)),
    ]


def _weights(layer: LayerShape) -> list[Tensor]:
    if layer.kind not in ("conv", "matmul"):
        return []
    inputs = layer.channels // layer.groups
    shape = (layer.outputs, layer.channels) if layer.kind == "matmul" else (layer.outputs, inputs, *(layer.kernel or ()))
    name = f"{layer.name}.weight"
    if layer.real and layer.weight_bits >= formats.get(layer.real).bits:
        return [Tensor(name, shape, layer.real, None, Constant(None, name))]
    return [_stored(name, shape, layer.weight_bits, True, entropy_bits=layer.entropy_bits)]


def _data(layer: LayerShape, name: str, shape: Shape, bits: int, zeros: float | None) -> Tensor:
    return Tensor(name, shape, layer.real, None, None, zeros) if layer.real else _stored(name, shape, bits, zeros=zeros)


def _attrs(layer: LayerShape) -> dict[str, Any]:
    if layer.kind == "matmul":
        return {"trans_a": False, "trans_b": True, "alpha": 1.0, "beta": 1.0}
    if layer.kind in ("add", "softmax"):
        return {"function": "add"} if layer.kind == "add" else {"axis": 1}
    before, after = layer.pad[:2], layer.pad[2:]
    window: dict[str, Any] = {"strides": (layer.stride,) * 2, "dilations": (1, 1), "before": before, "after": after, "kernel": layer.kernel}
    if layer.kind == "average_pool":
        return {**window, "count_pad": False, "counted_after": after, "global": False}
    return window if layer.kind == "max_pool" else {**window, "group": layer.groups}


def _stored(
    name: str, shape: Shape, bits: int, constant: bool = False, zeros: float | None = None, entropy_bits: float | None = None
) -> Tensor:
    """A tensor on a symmetric grid of a scale of 1."""
    quant = QuantParams(formats.get(f"int{bits}"), np.ones((), np.float32), np.zeros((), np.int64))
    return Tensor(name, shape, f"int{bits}", quant, Constant(None, name) if constant else None, zeros, entropy_bits)
