"""QuantizeLinear and Cast-free entry into stored numbers: real to stored, or stored to stored with another scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim import formats
from hwsim.arithmetics import arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import integers, moving, reals
from hwsim.ops._dequantized import dequantized
from hwsim.ops._lowering import Desk, float_bits
from hwsim.ops._qonnx import quantize_real, read_bipolar, read_quant, reads_of
from hwsim.ops._reading import Reader, check_scales, input_name
from hwsim.ops._regrid import regrid, stored
from hwsim.ops._tables import MOST_BITS, emit_table
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array, QuantParams


def _read(s: SourceNode, r: Reader) -> None:
    x, axis, block = s.inputs[0], int(s.attrs.get("axis", 1)), int(s.attrs.get("block_size", 0))
    wanted = s.attrs.get("output_dtype")
    fmt = r.tensors[s.inputs[2]].format if input_name(s, 2) else wanted or "uint8"
    if wanted and wanted != fmt:
        raise HwsimError(s.where, f"output_dtype must be {fmt} like the zero point", wanted)
    if r.array(s.inputs[1]) is None:
        check_scales(s, r, axis, block)
        r.emit(s, "quantize", s.inputs, {"format": fmt, "axis": axis, "block": block})
        return
    quant = r.params(s, x, 1, 2, axis, block, fmt)
    if "range" in s.attrs:
        quant = replace(quant, qmin=s.attrs["range"][0], qmax=s.attrs["range"][1])
    r.emit(s, "quantize", (x,), {"format": fmt, "axis": axis, "block": block}, quants=[quant])


READS = {
    "QuantizeLinear": _read,
    "com.microsoft.QuantizeLinear": _read,
    **reads_of(Quant=read_quant, IntQuant=read_quant, BipolarQuant=read_bipolar),
}


def write(node: Node, operands: Operands) -> Written:
    """With a scale that is computed at run time; what has constant ones is up to the form that is written."""
    a = node.attrs
    named = {} if len(node.inputs) > 2 else {"output_dtype": a["format"]}
    return Written("QuantizeLinear", node.inputs, {"axis": a["axis"], "block_size": a["block"], **named})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, node.attrs["format"])]


def compute(node: Node, x: Array, scale: Array | None = None, zero_point: Array | None = None) -> Array:
    """With a scale that is computed at run time."""
    assert scale is not None, "a constant scale makes this an integer step"
    return runtime_params(node, node.attrs["format"], x, scale, zero_point).quantize(x)


def runtime_params(node: Node, fmt: str, x: Array, scale: Array, zero_point: Array | None) -> QuantParams:
    """The QuantParams of scales that are computed at run time."""
    chosen, whole = formats.get(fmt), scale.size == 1
    zero = (np.zeros(scale.shape) if zero_point is None else zero_point).astype(np.int64 if chosen.is_integer else np.float32)
    axis = None if whole else node.attrs["axis"] % x.ndim
    scale, zero = (scale.reshape(()), zero.reshape(())) if whole else (scale, zero)
    return QuantParams(chosen, scale, zero, axis, 0 if whole else node.attrs["block"])


def integer(step: Step, x: Array, *runtime: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None
    if target is None:
        return compute(step.node, x, *runtime)
    if source.quant is not None and "rounding" not in step.node.attrs:
        return regrid(step, x, source.quant, target, "requantize")
    real = x if source.quant is None else source.quant.dequantize(x)
    return store(step.node, real, target) if "rounding" in step.node.attrs else stored(step, real, target)


def store(node: Node, real: Array, target: QuantParams) -> Array:
    """Stored numbers by the node's own rounding mode, ONNX's where it has none."""
    return quantize_real(real, target, node.attrs["rounding"]) if "rounding" in node.attrs else target.quantize(real)


def kernel(step: Step, desk: Desk) -> bool:
    """float32 by the arithmetic's rule, else ONNX's; stored numbers through a table, wide ones by a rule too; one scale."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    q = y.quant
    if q is None or len(step.inputs) > 1 or q.granularity != "per_tensor" or not q.format.is_integer or q.bits > 16:
        return False
    if x.quant is not None and x.quant.bits <= MOST_BITS:
        return emit_table(step, desk, lambda v: integer(step, v))
    if "rounding" in step.node.attrs:
        return False
    if x.quant is not None and "requantize" in getattr(arithmetic_of(step), "STORED", {}):
        return _emit_requantize(step, desk, x.quant, q)
    place = desk.place(x) if x.quant is None else dequantized(desk, x)
    if place is None:
        return False
    source, target, zero = desk.operand(place), desk.operand(desk.place(y)), int(q.zero_point)
    if q.format.name == "bipolar":
        numbers = {"scale": float_bits(q.scale), "zero": float_bits(zero), "y_bias": target.bias}
        return desk.walk(reals.signs, x.shape, [source], target, **numbers)
    own = getattr(arithmetic_of(step), "QUANTIZE", None)
    if own is not None:
        limits = {"zero": zero, "low": int(q.qmin), "high": int(q.qmax), "y_bias": target.bias}
        return desk.walk(integers.quantize, x.shape, [source], target, own[1], number=float_bits(own[0](q.scale)), **limits)
    numbers = {"scale": float_bits(q.scale), "low": int(q.qmin) - zero, "high": int(q.qmax) - zero, "offset": zero - target.bias}
    return desk.walk(moving.quantize, x.shape, [source], target, **numbers)


def _emit_requantize(step: Step, desk: Desk, source: QuantParams, target: QuantParams) -> bool:
    """Wide stored numbers by the arithmetic's own integers."""
    x, own = step.inputs[0], getattr(arithmetic_of(step), "REQUANTIZE", None)
    if own is None or x is None or source.granularity != "per_tensor" or not source.format.is_signed:
        return False
    y = desk.operand(desk.place(step.outputs[0]))
    (multiplier, exponent), zero = own[0](source, target), int(target.zero_point)
    args = {"multiplier": int(multiplier), "exponent": int(exponent), "x_zero": int(source.zero_point), "zero": zero}
    args |= {"low": int(target.qmin), "high": int(target.qmax), "y_bias": y.bias}
    return desk.walk(integers.requantize, x.shape, [desk.operand(desk.place(x))], y, own[1], **args)
