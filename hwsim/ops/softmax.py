"""Softmax and its logarithm along one axis; before opset 13 all axes from `axis` on are taken together."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader
from hwsim.program import Step
from hwsim.quant import Array
from hwsim.shelf import load


def _attrs(s: SourceNode, r: Reader, log: bool) -> dict[str, Any]:
    rank = len(r.shape(s.inputs[0]))
    opset = int(s.attrs.get("opset", s.opset))
    axis = int(s.attrs.get("axis", -1 if opset >= 13 else 1)) % max(rank, 1)
    return {"axes": (axis,) if opset >= 13 else tuple(range(axis, rank)), "log": log}


def _read(s: SourceNode, r: Reader) -> None:
    r.emit(s, "softmax", s.inputs, _attrs(s, r, log=s.kind == "LogSoftmax"))


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    x = r.quantized(s, 0, 1, 2)
    r.emit(s, "softmax", (x,), _attrs(s, r, log=False), quants=[r.params(s, x, 3, 4, fmt=r.tensors[x].format)])


READS = {"Softmax": _read, "LogSoftmax": _read, "com.microsoft.QLinearSoftmax": _read_qlinear}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [(x.shape, x.format if x.quant is None else "float32")]


def compute(node: Node, x: Array) -> Array:
    axes = node.attrs["axes"]
    shifted = x - x.max(axes, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axes, keepdims=True)
    return shifted - np.log(total) if node.attrs["log"] else e / total


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    own = getattr(load("arithmetics", step.arithmetic), "softmax", None)
    if own is None or step.node.attrs["log"] or source.quant.bits > 8 or target.bits > 8:
        return target.quantize(compute(step.node, source.quant.dequantize(x)))
    axes = step.node.attrs["axes"]
    rest = [a for a in range(x.ndim) if a not in axes]
    rows = x.transpose(*rest, *axes).reshape(*[x.shape[a] for a in rest], -1)
    y = own(rows, source.quant, target).reshape([x.shape[a] for a in (*rest, *axes)])
    return y.transpose(np.argsort([*rest, *axes]))


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"softmax": outputs[0].elements}
