"""Split along an axis into parts of given or equal size."""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    shape = r.shape(s.inputs[0])
    axis = axis_of(s, len(shape), s.attrs.get("axis", 0))
    sizes = r.ints(s, "split", 1)
    if sizes is None:
        n = int(s.attrs.get("num_outputs", len(s.outputs)))
        if n != len(s.outputs):
            raise HwsimError(s.where, f"num_outputs must be {len(s.outputs)}", n)
        each = -(-shape[axis] // n)
        sizes = [min(each, shape[axis] - i * each) for i in range(n)]
    if len(sizes) != len(s.outputs):
        raise HwsimError(s.where, f"must have a size for each of {counted(len(s.outputs), 'output')}", len(sizes))
    if sum(sizes) != shape[axis] or min(sizes) < 0:
        raise HwsimError(s.where, f"the parts must add up to {shape[axis]}", sizes)
    r.emit(s, "split", s.inputs[:1], {"axis": axis, "sizes": tuple(sizes)})


READS = {"Split": _read}


def write(node: Node, operands: Operands) -> Written:
    return Written("Split", (node.inputs[0], numbers(node.attrs["sizes"])), {"axis": node.attrs["axis"]})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, axis = inputs[0], node.attrs["axis"]
    assert x is not None
    return [((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.format) for n in node.attrs["sizes"]]


def compute(node: Node, x: Array) -> tuple[Array, ...]:
    return tuple(np.split(x, np.cumsum(node.attrs["sizes"])[:-1], node.attrs["axis"]))
