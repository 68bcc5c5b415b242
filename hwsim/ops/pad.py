"""Padding with a constant (stored tensors: the stored form of that number), an edge, a reflection or a wrap."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._lowering import Desk, float_bits
from hwsim.ops._reading import Reader, axes_of, choice, input_name
from hwsim.ops._regrid import regrid
from hwsim.ops._tables import emit_move
from hwsim.ops._writing import Operands, Written, like, numbers
from hwsim.program import Step
from hwsim.quant import Array

_MODES: dict[str, Any] = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


def _read(s: SourceNode, r: Reader) -> None:
    rank = len(r.shape(s.inputs[0]))
    pads = r.ints(s, "pads", 1)
    axes = axes_of(s, rank, r.ints(s, "axes", 3) or range(rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise HwsimError(s.where, f"pads must have {2 * len(axes)} numbers", pads)
    widths = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[len(axes) + i])
    value = r.number(s, 2, "the padding value") if input_name(s, 2) else float(s.attrs.get("value", 0))
    stored = r.tensors[s.inputs[0]].quant
    value = value if stored is None or stored.axis is not None else float(stored.dequantize(np.asarray(value)))
    mode = choice(s, "mode", tuple(_MODES), "constant")
    _check_repeated(s, mode, widths, r.shape(s.inputs[0]))
    r.emit(s, "pad", s.inputs[:1], {"widths": tuple(widths), "value": value, "mode": mode})


def _check_repeated(s: SourceNode, mode: str, widths: list[tuple[int, int]], shape: Shape) -> None:
    """A border that repeats the input needs enough of it."""
    for w, d in zip(widths, shape, strict=True):
        n = d + min(w[0], 0) + min(w[1], 0)
        least = {"constant": 0, "reflect": max(w) + 1}.get(mode, 1)
        if max(w) > 0 and n < least:
            raise HwsimError(s.where, f"{mode} padding by {max(w)} must have {counted(least, 'number')} to repeat", n)


READS = {"Pad": _read}


def write(node: Node, operands: Operands) -> Written:
    a, x = node.attrs, operands[0]
    pads = numbers([w[0] for w in a["widths"]] + [w[1] for w in a["widths"]])
    value = (like(a["value"], x),) if a["mode"] == "constant" else ()
    return Written("Pad", (node.inputs[0], pads, *value), {"mode": a["mode"]})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, node.attrs["widths"], strict=True))
    if min(shape, default=0) < 0:
        raise HwsimError(node.where, "negative pads must leave something", shape)
    return [(shape, x.format)]


def compute(node: Node, x: Array, value: Any = None) -> Array:
    widths = node.attrs["widths"]
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    grown: Any = [(max(a, 0), max(b, 0)) for a, b in widths]
    if node.attrs["mode"] == "constant":
        return np.pad(x, grown, constant_values=node.attrs["value"] if value is None else value)
    return np.pad(x, grown, mode=_MODES[node.attrs["mode"]])


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    stored = target.quantize(np.asarray(node_value(step.node), np.float32))
    if not source.quant.same_grid(target):
        x = regrid(step, x, source.quant, target)
    return compute(step.node, x, stored)


def node_value(node: Node) -> float:
    """The real number that fills the border."""
    return float(node.attrs["value"])


def real(step: Step, desk: Desk) -> bool:
    """The same of float32 numbers."""
    x = step.inputs[0]
    assert x is not None
    sources = compute(step.node, np.arange(x.elements).reshape(x.shape), -1)
    return emit_move(step, desk, 0, 0, sources.ravel(), float_bits(node_value(step.node)))


def kernel(step: Step, desk: Desk) -> bool:
    """A move with the border filled by the stored padding value."""
    x, y = step.inputs[0], step.outputs[0]
    if x is None or x.quant is None or y.quant is None:
        return False
    elements = np.arange(x.elements).reshape(x.shape)
    stored = int(y.quant.quantize(np.asarray(node_value(step.node), np.float32)))
    return emit_move(step, desk, 0, 0, compute(step.node, elements, -1).ravel(), stored)
