"""TFLite's UNIDIRECTIONAL_SEQUENCE_LSTM as ONNX's LSTM, and its SVDF, which ONNX has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.io.tflite_parts import Desk, TfliteOperator
from hwsim.io.tflite_products import activation, emit_clip
from hwsim.quant import Array, QuantParams

__all__ = ["READS"]

TANH = 4
# the operator's inputs by gate, in ONNX's order: input, output, forget, cell
WEIGHTS, STATE, BIASES = (1, 4, 2, 3), (5, 8, 6, 7), (12, 15, 13, 14)
PEEPHOLES_AND_MORE = (9, 10, 11, 16, 17, 20, 21, 22, 23)


def _lstm(op: TfliteOperator, desk: Desk) -> None:
    """One direction; without input weights the input gate is one minus the forget gate (`input_coupled`)."""
    _check(op, desk)
    coupled, x, target = not op.input(1), op.inputs[0], op.outputs[0]
    w, r = (_stacked(op, desk, indices, what) for indices, what in ((WEIGHTS, "weights"), (STATE, "recurrent")))
    inputs = (_in_time(op, desk, x), w, r, _bias(op, desk, w, r))
    attrs: dict[str, Any] = {"input_coupled": int(coupled), "cell_clip": float(op.option("CellClip"))}
    if desk.stored(x):
        attrs |= _cell(op, desk)
    sequence = desk.between(f"{op.name}.sequence", target)
    desk.node("LSTM", op.name, inputs, (sequence,), attrs)
    if op.option("TimeMajor"):
        desk.node("Squeeze", f"{op.name}.directions", (sequence,), (desk.output(target),), {"axes": [1]})
    else:
        steps = desk.between(f"{op.name}.steps", target)
        desk.node("Squeeze", f"{op.name}.directions", (sequence,), (steps,), {"axes": [1]})
        desk.node("Transpose", f"{op.name}.batch", (steps,), (desk.output(target),), {"perm": [1, 0, 2]})


def _check(op: TfliteOperator, desk: Desk) -> None:
    """Gates of logistic and tanh from a state of zero, and nothing more."""
    extra = [i for i in PEEPHOLES_AND_MORE if op.input(i)]
    if extra or op.option("ProjClip") or op.option("FusedActivationFunction") != TANH:
        found = f"inputs {extra}" if extra else "another form"
        raise HwsimError(op.where, "must have tanh cells without peepholes, projection and layer normalization", found)
    for index in (18, 19):
        t = desk.tensor(op.inputs[index])
        zero = 0 if t.quant is None else int(t.quant.zero_point)
        if t.constant is None or (t.constant.array != zero).any():
            raise HwsimError(op.where, "must start from a state of zero", f"'{t.name}'")


def _in_time(op: TfliteOperator, desk: Desk, x: str) -> str:
    """The input as (steps, batch, numbers)."""
    if op.option("TimeMajor"):
        return desk.plain(x)
    turned = desk.between(f"{op.name}.time", x)
    desk.node("Transpose", turned, (desk.plain(x),), (turned,), {"perm": [1, 0, 2]})
    return turned


def _stacked(op: TfliteOperator, desk: Desk, indices: tuple[int, ...], what: str) -> str:
    """The weights of the four gates as one (1, 4 hidden, numbers), with one scale per row; an absent gate is zeros."""
    named = [op.input(i) for i in indices]
    present = [desk.array(op, i, f"the {what}") for i, t in zip(indices, named, strict=True) if t]
    shape, quants = present[-1].shape, [desk.tensor(t).quant if t else None for t in named]
    arrays = [desk.array(op, i, f"the {what}") if t else np.zeros(shape, present[-1].dtype) for i, t in zip(indices, named, strict=True)]
    joined, quant = np.concatenate(arrays)[None], None
    if any(q is not None for q in quants):
        scale = np.concatenate([np.full(shape[0], 1.0 if q is None else q.scale, np.float32) for q in quants])
        quant = QuantParams(formats.get(desk.tensor(named[-1]).format), scale, np.zeros(scale.shape, np.int64), 1)
    return desk.constant(f"{op.name}.{what}", joined, quant, desk.tensor(named[-1]).format)


def _bias(op: TfliteOperator, desk: Desk, w: str, r: str) -> str:
    """The gates' biases, and zeros for the state's; stored ones are in units of x_scale w_scale."""
    x, hidden = desk.tensor(op.inputs[0]), desk.tensor(op.inputs[STATE[-1]]).shape[1]
    held = np.int32 if x.quant is not None else np.float32
    arrays: list[Array] = [desk.array(op, i, "the bias") if op.input(i) else np.zeros(hidden, held) for i in BIASES]
    joined, quant = np.concatenate([*arrays, np.zeros(4 * hidden, held)])[None], None
    wq, rq, y = desk.tensors[w].quant, desk.tensors[r].quant, desk.tensor(op.outputs[0]).quant
    if x.quant is not None and wq is not None and rq is not None and y is not None:
        scale = np.concatenate([x.quant.scale * wq.scale, y.scale * rq.scale]).astype(np.float32)
        quant = QuantParams(formats.get("int32"), scale, np.zeros(scale.shape, np.int64), 1)
    return desk.constant(f"{op.name}.bias", joined, quant)


def _cell(op: TfliteOperator, desk: Desk) -> dict[str, Any]:
    """The scale of the cell, and the grid in front of the output."""
    cell = desk.tensor(op.inputs[19]).quant
    hidden = desk.tensor(op.intermediates[4]).quant if len(op.intermediates) > 4 else None
    if cell is None or hidden is None or desk.tensor(op.inputs[19]).format != "int16" or desk.tensor(op.inputs[0]).format != "int8":
        raise HwsimError(op.where, "must have int8 inputs, an int16 cell and a quantized hidden tensor", "another form")
    return {"cell_scale": float(cell.scale), "hidden_scale": float(hidden.scale), "hidden_zero": int(hidden.zero_point)}


def _svdf(op: TfliteOperator, desk: Desk) -> None:
    """From a state of zero.  The integer form has no activation; an absent bias is zeros."""
    x, features, time, state = (op.inputs[i] for i in (0, 1, 2, 4))
    for i in (1, 2):
        desk.array(op, i, "the weights")
    start = desk.tensor(state)
    if start.constant is None or start.constant.array.any():
        raise HwsimError(op.where, "must start from a state of zero", f"'{state}'")
    stored = desk.stored(x)
    units = desk.tensor(features).shape[0] // max(op.option("Rank"), 1)
    bias = desk.array(op, 3, "the bias") if op.input(3) else np.zeros(units, np.int32 if stored else np.float32)
    quant = QuantParams(formats.get("int32"), np.ones((), np.float32), np.zeros((), np.int64)) if stored else None
    inputs = (desk.plain(x), desk.plain(features), desk.plain(time), desk.constant(f"{op.name}.bias", bias, quant), desk.plain(state))
    after = desk.between(f"{op.name}.state", state)
    bounds = None if stored else activation(op)
    if bounds is None:
        desk.node("tflite.SVDF", op.name, inputs, (desk.output(op.outputs[0]), after), {"rank": op.option("Rank")})
        return
    linear = desk.between(f"{op.outputs[0]}.linear", op.outputs[0])
    desk.node("tflite.SVDF", op.name, inputs, (linear, after), {"rank": op.option("Rank")})
    emit_clip(desk, f"{op.name}.activation", linear, desk.output(op.outputs[0]), bounds)


READS: dict[str, Callable[[TfliteOperator, Desk], None]] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm, "SVDF": _svdf}
