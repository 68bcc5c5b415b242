"""Channels into space and back: DepthToSpace (DCR and CRD) and SpaceToDepth."""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, choice
from hwsim.ops._writing import Operands, Written
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    _, c, h, w = r.ranked(s, 0, 4, 4)
    b, down = int(s.attrs["blocksize"]), s.kind == "SpaceToDepth"
    if b < 1:
        raise HwsimError(s.where, "blocksize must be 1 or more", b)
    if (h % b or w % b) if down else c % (b * b):
        raise HwsimError(s.where, f"blocksize {b} must divide the {'spatial size' if down else 'channels'}", (c, h, w))
    r.emit(s, "depth_to_space", s.inputs, {"block": b, "order": ("down_" if down else "") + choice(s, "mode", ("DCR", "CRD"), "DCR")})


READS = {"DepthToSpace": _read, "SpaceToDepth": _read}


def write(node: Node, operands: Operands) -> Written:
    order, block = node.attrs["order"], {"blocksize": node.attrs["block"]}
    if not order.startswith("down"):
        return Written("DepthToSpace", node.inputs, {**block, "mode": order})
    mode = order.removeprefix("down_")
    return Written("SpaceToDepth", node.inputs, block if mode == "DCR" else {**block, "mode": mode}, since=21 if mode == "DCR" else 28)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, b = inputs[0], node.attrs["block"]
    assert x is not None
    n, c, h, w = x.shape
    return [((n, c * b * b, h // b, w // b) if node.attrs["order"].startswith("down") else (n, c // (b * b), h * b, w * b), x.format)]


def compute(node: Node, x: Array) -> Array:
    b, (n, c, h, w) = node.attrs["block"], x.shape
    if node.attrs["order"].startswith("down"):
        cells = x.reshape(n, c, h // b, b, w // b, b)
        ordered = cells.transpose(0, 3, 5, 1, 2, 4) if node.attrs["order"] == "down_DCR" else cells.transpose(0, 1, 3, 5, 2, 4)
        return ordered.reshape(n, c * b * b, h // b, w // b)
    if node.attrs["order"] == "DCR":
        return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * b, w * b)
    return x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * b, w * b)
