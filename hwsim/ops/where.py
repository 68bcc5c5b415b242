"""A choice between two tensors, element by element, with broadcasting."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, broadcast
from hwsim.ops._writing import writes
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    broadcast(s.where, *(r.shape(t) for t in s.inputs))
    r.emit(s, "where", s.inputs)


READS = {"Where": _read}


write = writes("Where")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    condition, a, b = inputs
    assert condition is not None and a is not None and b is not None
    return [(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.format if a.quant is None else "float32")]


def compute(node: Node, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)
