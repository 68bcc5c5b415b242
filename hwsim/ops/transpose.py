"""Another order of the axes.  `layout`: the file and hwsim merely name them in different orders."""

from __future__ import annotations

from typing import Any

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader
from hwsim.ops._writing import Operands, Written
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    rank = len(r.shape(s.inputs[0]))
    perm = tuple(int(p) for p in s.attrs.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise HwsimError(s.where, f"perm must be an order of {rank} axes", perm)
    r.emit(s, "transpose", s.inputs, {"perm": perm, "layout": bool(s.attrs.get("layout", 0))})


READS = {"Transpose": _read}


def write(node: Node, operands: Operands) -> Written:
    return Written("Transpose", node.inputs, {"perm": list(node.attrs["perm"]), **({"layout": 1} if node.attrs.get("layout") else {})})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [(tuple(x.shape[p] for p in node.attrs["perm"]), x.format)]


def compute(node: Node, x: Array) -> Array:
    return x.transpose(node.attrs["perm"])


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Nothing where only the names of the axes change."""
    return {} if node.attrs.get("layout") else {"copy": outputs[0].elements}
