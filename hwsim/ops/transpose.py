"""Another order of the axes."""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    rank = len(r.shape(s.inputs[0]))
    perm = tuple(int(p) for p in s.attrs.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise HwsimError(s.where, f"perm must be an order of {rank} axes", perm)
    r.emit(s, "transpose", s.inputs, {"perm": perm})


READS = {"Transpose": _read}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [(tuple(x.shape[p] for p in node.attrs["perm"]), x.format)]


def compute(node: Node, x: Array) -> Array:
    return x.transpose(node.attrs["perm"])
