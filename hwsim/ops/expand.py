"""Repetition: Expand (broadcast to a shape) and Tile."""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, broadcast
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    have, numbers = r.shape(s.inputs[0]), [int(v) for v in r.need(s, 1, "the shape").ravel()]
    if min(numbers, default=0) < 0 or (s.kind == "Tile" and len(numbers) != len(have)):
        wanted = f"{len(have)} repeats" if s.kind == "Tile" else "dimensions"
        raise HwsimError(s.where, f"must be given {wanted} of 0 or more", tuple(numbers))
    if s.kind == "Tile":
        repeats, shape = tuple(numbers), tuple(d * n for d, n in zip(have, numbers, strict=True))
    else:
        shape = broadcast(s.where, have, tuple(numbers))
        repeats = (1,) * len(shape)
    r.emit(s, "expand", s.inputs[:1], {"shape": shape, "repeats": repeats})


READS = {"Expand": _read, "Tile": _read}


def write(node: Node, operands: Operands) -> Written:
    """A dimension that is already there is left to the input, so that a batch stays free."""
    repeats, shape, x = node.attrs["repeats"], node.attrs["shape"], operands[0]
    assert x is not None
    if any(n != 1 for n in repeats):
        return Written("Tile", (node.inputs[0], numbers(repeats)))
    have = (*[0] * (len(shape) - len(x.shape)), *x.shape)
    return Written("Expand", (node.inputs[0], numbers([1 if d == h else d for d, h in zip(shape, have, strict=True)])))


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(node.attrs["shape"], inputs[0].format)]


def compute(node: Node, x: Array) -> Array:
    return np.ascontiguousarray(np.broadcast_to(np.tile(x, node.attrs["repeats"]), node.attrs["shape"]))
