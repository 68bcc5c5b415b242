"""DequantizeLinear: stored to real."""

from __future__ import annotations

from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._dequantized import emit_dequantize
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, check_scales
from hwsim.ops._writing import Operands, Written
from hwsim.ops.quantize import runtime_params
from hwsim.program import Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    axis, block = int(s.attrs.get("axis", 1)), int(s.attrs.get("block_size", 0))
    attrs = {
        "format": s.attrs.get("output_dtype") or r.tensors[s.inputs[1]].format,
        "axis": axis,
        "block": block,
        "stored": r.tensors[s.inputs[0]].format,
    }
    if r.array(s.inputs[1]) is None:
        check_scales(s, r, axis, block)
        r.emit(s, "dequantize", s.inputs, attrs)
        return
    x = r.quantized(s, 0, 1, 2, axis, block)
    r.emit(s, "dequantize", (x,), attrs)


READS = {"DequantizeLinear": _read, "com.microsoft.DequantizeLinear": _read}


def write(node: Node, operands: Operands) -> Written:
    """With a scale that is computed at run time; what has constant ones is up to the form that is written."""
    a = node.attrs
    return Written("DequantizeLinear", node.inputs, {"axis": a["axis"], "block_size": a["block"]})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, node.attrs["format"])]


def compute(node: Node, x: Array, scale: Array | None = None, zero_point: Array | None = None) -> Array:
    """With a scale that is computed at run time."""
    assert scale is not None, "a constant scale makes this an integer step"
    return runtime_params(node, node.attrs["stored"], x, scale, zero_point).dequantize(x)


def integer(step: Step, x: Array, *runtime: Array) -> Array:
    source = step.inputs[0]
    assert source is not None
    return compute(step.node, x, *runtime) if source.quant is None else source.quant.dequantize(x)


def kernel(step: Step, desk: Desk) -> bool:
    """One scale."""
    x, y = step.inputs[0], step.outputs[0]
    if x is None or len(step.inputs) > 1:
        return False
    target = desk.operand(desk.place(y))
    return target.kind == "f32" and emit_dequantize(desk, x, target)
