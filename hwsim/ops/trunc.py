"""QONNX's Trunc: the low bits of stored numbers dropped, as behind an integer average pool.  Equals `qonnx.custom_op.general.trunc`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._lowering import Desk
from hwsim.ops._qonnx import ROUNDINGS, bit_width, emit_stored, integer_range, narrowest, quantizer_params, reads_of, rounding_of
from hwsim.ops._reading import Reader
from hwsim.ops._tables import emit_table
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    """Version 1 drops input bits - output bits of them and keeps scale and zero point; version 2 has an output scale and range."""
    bits, mode = bit_width(s, r, 3), rounding_of(s, "FLOOR")
    source, mirrored = quantizer_params(s, r, 2, *integer_range(bits, True, False))
    if mirrored or source.axis is not None:
        raise HwsimError(s.where, "the scale must be one positive number")
    out = tuple(r.number(s, i, "the output scale and bits") for i in range(4, len(s.inputs)))
    if len(s.inputs) < 6:
        dropped = bits - bit_width(s, r, 4)
        zero, scale = int(source.zero_point), source.scale
        if dropped < 0:
            raise HwsimError(s.where, "must drop bits, not add them", -dropped)
        limits = (-(1 << bits) >> dropped, ((1 << bits) >> dropped) + 1)
    else:
        scale = np.asarray(r.number(s, 4, "the output scale"), np.float32)
        dropped = int(np.rint(np.log2(scale / source.scale)))
        limits = integer_range(bit_width(s, r, 5), bool(s.attrs.get("signed", 1)), bool(s.attrs.get("narrow", 0)))
        if dropped < 0 or int(source.zero_point) % (1 << dropped):
            wanted = "must drop bits, and the zero point be a multiple of what is dropped"
            raise HwsimError(s.where, wanted, f"{dropped} bits, zero point {int(source.zero_point)}")
        zero = int(source.zero_point) >> dropped
    fmt = formats.get(narrowest(*limits))
    target = replace(source, format=fmt, qmin=limits[0], qmax=limits[1], zero_point=np.asarray(zero), scale=np.asarray(scale))
    factor = np.float32(2.0**dropped)
    attrs = {
        "scale": source.scale,
        "zero": np.float32(source.zero_point),
        "factor": factor,
        "limits": limits,
        "rounding": mode,
        "bits": bits,
        "out": out,
    }
    emit_stored(s, r, "trunc", target, attrs)


READS = reads_of(Trunc=_read)


def write(node: Node, operands: Operands) -> Written:
    """QONNX's own operator, with as many inputs as it was read with."""
    a, f32 = node.attrs, np.float32
    rest = (f32(a["bits"]), *(f32(v) for v in a["out"]))
    attrs: dict[str, Any] = {"rounding_mode": a["rounding"]}
    if len(rest) > 2:
        low, high = a["limits"]
        attrs |= {"signed": int(low < 0), "narrow": int(low == -high if low < 0 else high % 2 == 0)}
    return Written("qonnx.custom_op.general.Trunc", (*node.inputs, *(np.asarray(v, f32) for v in (a["scale"], a["zero"], *rest))), attrs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, "float32")]


def compute(node: Node, x: Array) -> Array:
    """Stored numbers of real ones, as float32."""
    a = node.attrs
    low, high = a["limits"]
    v = np.rint(x.astype(np.float32) / a["scale"] + a["zero"]) / a["factor"]
    return np.asarray(ROUNDINGS[a["rounding"]](np.clip(v, np.float32(low), np.float32(high))), np.float32)


def integer(step: Step, x: Array) -> Array:
    """On stored or real numbers."""
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and target is not None
    return compute(step.node, x if source.quant is None else source.quant.dequantize(x)).astype(target.format.dtype)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"shift": outputs[0].elements}


def kernel(step: Step, desk: Desk) -> bool:
    """A table over all stored numbers."""
    return emit_table(step, desk, lambda q: integer(step, q))
