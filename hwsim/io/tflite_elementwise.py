"""TFLite operators that go number by number, along one axis, or between stored and real numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.io.tflite_parts import NCHW, Desk, TfliteOperator
from hwsim.io.tflite_products import emit_bounded, emit_clip

__all__ = ["READS"]

Read = Callable[[TfliteOperator, Desk], None]


def _operands(op: TfliteOperator, desk: Desk) -> tuple[list[str], bool]:
    """The inputs in the form in which an elementwise operator can run, and whether that is images."""
    images = desk.are_images(op.inputs)
    return [desk.image(t) if images else desk.plain(t) for t in op.inputs], images


def _pairs(kind: str, activation: bool = True) -> Read:
    def read(op: TfliteOperator, desk: Desk) -> None:
        inputs, images = _operands(op, desk)
        attrs: dict[str, Any] = {"pot_scale": 1} if kind in ("Add", "Sub") and _by_shifts(op, desk) else {}
        if activation:
            emit_bounded(op, desk, kind, inputs, attrs, images)
        else:
            desk.node(kind, op.name, inputs, (desk.output(op.outputs[0], images),), attrs)

    return read


def _by_shifts(op: TfliteOperator, desk: Desk) -> bool:
    """Whether LiteRT adds 16-bit numbers by shifts: the option says so and all scales are powers of two."""
    tensors = [desk.tensor(t) for t in (*op.inputs, *op.outputs)]
    scales = [t.quant.scale for t in tensors if t.quant is not None and t.format == "int16"]
    return len(scales) == 3 and bool(op.option("PotScaleInt16")) and all(np.frexp(s)[0] == 0.5 for s in scales)


def _singles(kind: str, **named: str) -> Read:
    """`named`: attributes of ONNX that are options of TFLite."""

    def read(op: TfliteOperator, desk: Desk) -> None:
        inputs, images = _operands(op, desk)
        attrs = {a: float(op.option(o)) for a, o in named.items()}
        desk.node(kind, op.name, inputs, (desk.output(op.outputs[0], images),), attrs)

    return read


def _bounds(low: float, high: float) -> Read:
    def read(op: TfliteOperator, desk: Desk) -> None:
        inputs, images = _operands(op, desk)
        emit_clip(desk, op.name, inputs[0], desk.output(op.outputs[0], images), (low, high))

    return read


def _softmax(op: TfliteOperator, desk: Desk) -> None:
    """Along the last axis, which are the channels of an image."""
    inputs, images = _operands(op, desk)
    attrs = {"axis": 1 if images else -1, "beta": float(op.option("Beta"))}
    desk.node("Softmax", op.name, inputs, (desk.output(op.outputs[0], images),), attrs)


def _reduces(kind: str) -> Read:
    """Images stay images where that leaves the order of the other axes as it is."""

    def read(op: TfliteOperator, desk: Desk) -> None:
        rank, x = len(desk.tensor(op.inputs[0]).shape), op.inputs[0]
        axes = sorted({op.axis(v, rank) for v in desk.array(op, 1, "axes").ravel()})
        keep = bool(op.option("KeepDims"))
        images = desk.are_images((x,)) and (keep or {1, 2} <= set(axes))
        attrs = {"axes": [NCHW.index(a) for a in axes] if images else axes, "keepdims": int(keep)}
        desk.node(kind, op.name, (desk.image(x) if images else desk.plain(x),), (desk.output(op.outputs[0], images and keep),), attrs)

    return read


def _arg(kind: str) -> Read:
    def read(op: TfliteOperator, desk: Desk) -> None:
        x = op.inputs[0]
        axis = op.axis(desk.number(op, 1, "the axis"), len(desk.tensor(x).shape))
        images = desk.are_images((x,)) and axis == 3
        source = desk.image(x) if images else desk.plain(x)
        desk.node(kind, op.name, (source,), (desk.output(op.outputs[0]),), {"axis": 1 if images else axis, "keepdims": 0})

    return read


def _quantize(op: TfliteOperator, desk: Desk) -> None:
    """Real to stored, or stored to stored on another grid."""
    inputs, images = _operands(op, desk)
    target = desk.output(op.outputs[0], images)
    desk.node("QuantizeLinear", op.name, (inputs[0], *_parameters(op, desk, op.outputs[0])), (target,))


def _dequantize(op: TfliteOperator, desk: Desk) -> None:
    inputs, images = _operands(op, desk)
    target = desk.output(op.outputs[0], images)
    desk.node("DequantizeLinear", op.name, (inputs[0], *_parameters(op, desk, op.inputs[0])), (target,))


def _parameters(op: TfliteOperator, desk: Desk, name: str) -> tuple[str, str]:
    """Scale and zero point as the constant inputs that ONNX wants."""
    t = desk.tensor(name)
    if t.quant is None or t.quant.axis is not None:
        raise HwsimError(op.where, f"'{name}' must have one scale", "none" if t.quant is None else f"{len(t.quant.scale)}")
    scale = desk.constant(f"{op.name}.scale", np.asarray(t.quant.scale, np.float32))
    zero = np.asarray(t.quant.zero_point).astype(t.quant.format.dtype)
    return scale, desk.constant(f"{op.name}.zero_point", zero, fmt=t.format)


READS: dict[str, Read] = {
    "ADD": _pairs("Add"),
    "SUB": _pairs("Sub"),
    "MUL": _pairs("Mul"),
    "DIV": _pairs("Div"),
    "MAXIMUM": _pairs("Max", False),
    "MINIMUM": _pairs("Min", False),
    "PRELU": _pairs("PRelu", False),
    "RELU": _bounds(0.0, float("inf")),
    "RELU6": _bounds(0.0, 6.0),
    "RELU_N1_TO_1": _bounds(-1.0, 1.0),
    "LEAKY_RELU": _singles("LeakyRelu", alpha="Alpha"),
    "LOGISTIC": _singles("Sigmoid"),
    "TANH": _singles("Tanh"),
    "HARD_SWISH": _singles("HardSwish"),
    "ABS": _singles("Abs"),
    "NEG": _singles("Neg"),
    "EXP": _singles("Exp"),
    "LOG": _singles("Log"),
    "SQRT": _singles("Sqrt"),
    "SIN": _singles("Sin"),
    "COS": _singles("Cos"),
    "FLOOR": _singles("Floor"),
    "CEIL": _singles("Ceil"),
    "SOFTMAX": _softmax,
    "MEAN": _reduces("ReduceMean"),
    "SUM": _reduces("ReduceSum"),
    "ARG_MAX": _arg("ArgMax"),
    "ARG_MIN": _arg("ArgMin"),
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
}
