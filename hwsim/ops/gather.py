"""Rows of a table along an axis, chosen by indices (embeddings, and shape arithmetic)."""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._writing import writes
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    shape = r.shape(s.inputs[0])
    axis = axis_of(s, len(shape), s.attrs.get("axis", 0))
    indices = r.array(s.inputs[1])
    if indices is not None:
        _check(s.where, indices, shape[axis], axis)
    r.emit(s, "gather", s.inputs, {"axis": axis})


def _check(where: str, indices: Array, size: int, axis: int) -> None:
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise HwsimError(where, f"indices must lie within the {size} entries of axis {axis}", f"{indices.min()}..{indices.max()}")


READS = {"Gather": _read}


write = writes("Gather", "axis")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, indices, axis = inputs[0], inputs[1], node.attrs["axis"]
    assert x is not None and indices is not None
    return [((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.format)]


def compute(node: Node, x: Array, indices: Array) -> Array:
    axis = node.attrs["axis"]
    _check(node.where, indices, x.shape[axis], axis)
    return np.take(x, indices.astype(np.int64), axis)


def touched(outputs: tuple[Tensor, ...]) -> int:
    """Only the chosen rows are read."""
    return outputs[0].elements
