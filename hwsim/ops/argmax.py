"""The index of the largest (or smallest) element along an axis; the first one, or the last with select_last_index."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._writing import Operands, Written
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    axis = axis_of(s, len(r.shape(s.inputs[0])), s.attrs.get("axis", 0))
    if r.shape(s.inputs[0])[axis] == 0:
        raise HwsimError(s.where, "must choose among one entry or more", f"shape {r.shape(s.inputs[0])}")
    attrs = {
        "axis": axis,
        "keep": bool(s.attrs.get("keepdims", 1)),
        "smallest": s.kind == "ArgMin",
        "last": bool(s.attrs.get("select_last_index", 0)),
    }
    r.emit(s, "argmax", s.inputs, attrs)


READS = {"ArgMax": _read, "ArgMin": _read}


def write(node: Node, operands: Operands) -> Written:
    a = node.attrs
    attrs = {"axis": a["axis"], "keepdims": int(a["keep"]), "select_last_index": int(a["last"])}
    return Written("ArgMin" if a["smallest"] else "ArgMax", node.inputs, attrs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, axis = inputs[0], node.attrs["axis"]
    assert x is not None
    return [(tuple(1 if i == axis else d for i, d in enumerate(x.shape) if node.attrs["keep"] or i != axis), "int64")]


def compute(node: Node, x: Array) -> Array:
    axis, find = node.attrs["axis"], np.argmin if node.attrs["smallest"] else np.argmax
    found = x.shape[axis] - 1 - find(np.flip(x, axis), axis) if node.attrs["last"] else find(x, axis)
    return np.asarray(np.expand_dims(found, axis) if node.attrs["keep"] else found, np.int64)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    assert inputs[0] is not None
    return {"max": inputs[0].elements}
