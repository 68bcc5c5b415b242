"""The index of the largest (or smallest) element along an axis; the first one, or the last with select_last_index."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import choosing
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array

ANY_FORMAT = True  # stored numbers are in the order of what they stand for


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


def real(step: Step, desk: Desk) -> bool:
    """Whole numbers of up to 16 bits, of one scale if they stand for real ones."""
    x, a = step.inputs[0], step.node.attrs
    assert x is not None
    columns, alike = x.shape[a["axis"]], x.quant is None or x.quant.granularity == "per_tensor"
    if desk.place(x).kind not in ("u8", "i16") or not alike or columns > choosing.MOST_COLUMNS:
        return False
    order = [*(i for i in range(len(x.shape)) if i != a["axis"]), a["axis"]]
    source, target = desk.row_major(x, order), desk.row_major(step.outputs[0])
    desk.reorder(desk.place(x), source)
    args = {"x": source.offset, "y": target.offset, "rows": x.elements // columns, "columns": columns}
    desk.call_named(Kernel(choosing.choose, (source.kind, a["smallest"], a["last"])), choosing.CHOOSE_ARGS, args)
    desk.reorder(target, desk.place(step.outputs[0]))
    return True
