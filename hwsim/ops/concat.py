"""Concatenation along an axis; stored inputs with another scale than the output's are requantized."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._regrid import regrid
from hwsim.ops._tables import copy_part, emit_part
from hwsim.ops._writing import writes
from hwsim.program import Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    r.emit(s, "concat", s.inputs, {"axis": axis_of(s, len(r.shape(s.inputs[0])), s.attrs.get("axis", 1))})


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    """QLinearConcat: (y_scale, y_zero_point, then x, scale, zero_point for each input)."""
    if len(s.inputs) % 3 != 2:
        raise HwsimError(s.where, "must have 2 inputs and 3 for each tensor", len(s.inputs))
    inputs = [r.quantized(s, i, i + 1, i + 2) for i in range(2, len(s.inputs), 3)]
    y = r.params(s, inputs[0], 0, 1, fmt=r.stored_format(s, 1, inputs[0]))
    r.emit(s, "concat", inputs, {"axis": axis_of(s, len(r.shape(inputs[0])), s.attrs["axis"])}, quants=[y])


READS = {"Concat": _read, "com.microsoft.QLinearConcat": _read_qlinear}


write = writes("Concat", "axis")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    axis, shapes = node.attrs["axis"], [t.shape for t in inputs if t is not None]
    first = shapes[0]
    if any(len(s) != len(first) or s[:axis] != first[:axis] or s[axis + 1 :] != first[axis + 1 :] for s in shapes):
        raise HwsimError(node.where, f"the inputs must agree in all dimensions but {axis}", " and ".join(map(str, shapes)))
    assert inputs[0] is not None
    return [((*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :]), inputs[0].format)]


def compute(node: Node, *arrays: Array) -> Array:
    return np.concatenate(arrays, node.attrs["axis"])


def integer(step: Step, *arrays: Array) -> Array:
    target = step.outputs[0].quant
    assert target is not None
    parts = []
    for t, q in zip(step.inputs, arrays, strict=True):
        assert t is not None and t.quant is not None
        parts.append(q if t.quant.same_grid(target) else regrid(step, q, t.quant, target))
    return compute(step.node, *parts)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    same = all(t is not None and (t.quant is None or outputs[0].quant is None or t.quant.same_grid(outputs[0].quant)) for t in inputs)
    return {"copy" if same else "requantize": outputs[0].elements}


def kernel(step: Step, desk: Desk) -> bool:
    """One copy per input."""
    axis = step.node.attrs["axis"]
    if any(t is None or t.constant is not None or t.quant is None or t.quant.bits > 16 for t in step.inputs):
        return False
    starts = np.cumsum([0, *(t.shape[axis] for t in step.inputs if t)])
    return all(emit_part(step, desk, i, axis, int(first)) for i, first in enumerate(starts[:-1]))


def real(step: Step, desk: Desk) -> bool:
    """One copy of float32 numbers per input."""
    axis, parts = step.node.attrs["axis"], [t for t in step.inputs if t is not None]
    starts = np.cumsum([0, *(t.shape[axis] for t in parts)])
    return all(copy_part(desk, desk.real(t), step.outputs[0], axis, int(first)) for t, first in zip(parts, starts, strict=False))
