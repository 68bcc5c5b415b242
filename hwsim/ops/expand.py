"""Repetition: Expand (broadcast to a shape) and Tile."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    have, numbers = r.shape(s.inputs[0]), [int(v) for v in r.need(s, 1, "the shape").ravel()]
    if s.kind == "Tile":
        repeats, shape = tuple(numbers), tuple(d * n for d, n in zip(have, numbers, strict=True))
    else:
        shape = np.broadcast_shapes(have, tuple(numbers))
        repeats = (1,) * len(shape)
    r.emit(s, "expand", s.inputs[:1], {"shape": shape, "repeats": repeats})


READS = {"Expand": _read, "Tile": _read}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(node.attrs["shape"], inputs[0].format)]


def compute(node: Node, x: Array) -> Array:
    return np.ascontiguousarray(np.broadcast_to(np.tile(x, node.attrs["repeats"]), node.attrs["shape"]))
