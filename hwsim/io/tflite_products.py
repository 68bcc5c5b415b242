"""TFLite operators that multiply and accumulate: convolutions, fully connected layers, matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, counted
from hwsim.graph import Constant
from hwsim.io.tflite_parts import Desk, TfliteOperator
from hwsim.quant import QuantParams

__all__ = ["READS", "activation", "emit_bounded", "emit_clip", "padding"]

PADDINGS = ("SAME_UPPER", "VALID")
INFINITY = float("inf")
BOUNDS = {0: None, 1: (0.0, INFINITY), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
LARGEST = float(np.finfo(np.float32).max)


def emit_bounded(
    op: TfliteOperator,
    desk: Desk,
    kind: str,
    inputs: Sequence[str],
    attrs: dict[str, Any],
    image: bool = False,
    target: str = "",
    fuses: bool = True,
) -> None:
    """An operator with its fused activation: a bound on stored numbers, an operator of its own behind real ones.

    `target` is the name of the result where it is not yet the operator's output; `fuses`: whether stored numbers can be bounded.
    """
    bounds, target = activation(op), target or desk.output(op.outputs[0], image)
    if bounds is None or (fuses and desk.stored(op.outputs[0])):
        desk.node(kind, op.name, inputs, (target,), attrs if bounds is None else {**attrs, "clip": bounds})
        return
    linear = desk.between(f"{target}.linear", op.outputs[0])
    desk.node(kind, op.name, inputs, (linear,), attrs)
    emit_clip(desk, f"{op.name}.activation", linear, target, bounds)


def activation(op: TfliteOperator) -> tuple[float, float] | None:
    """The bounds that the fused activation sets."""
    code = op.option("FusedActivationFunction")
    if code not in BOUNDS:
        raise HwsimError(op.where, "the fused activation must be none, RELU, RELU_N1_TO_1 or RELU6", code)
    return BOUNDS[code]


def emit_clip(desk: Desk, name: str, source: str, target: str, bounds: tuple[float, float]) -> None:
    """An activation that bounds: Relu, or a Clip."""
    if bounds[1] == INFINITY:
        desk.node("Relu", name, (source,), (target,))
    else:
        desk.node("Clip", name, (source,), (target,), {"min": bounds[0], "max": bounds[1]})


def padding(op: TfliteOperator) -> str:
    """ONNX's word for SAME or VALID."""
    code = op.option("Padding")
    if code not in (0, 1):
        raise HwsimError(op.where, "the padding must be SAME or VALID", code)
    return PADDINGS[code]


def _window(op: TfliteOperator, dilated: bool = True) -> dict[str, Any]:
    attrs: dict[str, Any] = {"auto_pad": padding(op), "strides": [op.option("StrideH"), op.option("StrideW")]}
    return {**attrs, "dilations": [op.option("DilationHFactor"), op.option("DilationWFactor")]} if dilated else attrs


def _weights(op: TfliteOperator, desk: Desk, x: str, index: int, perm: tuple[int, ...]) -> str:
    """Constant weights in the order of axes that ONNX wants; real numbers where the input is real (dynamic-range files).

    Signed ones of convolutions, or with a scale per channel, have no zero point, as LiteRT never looks at it.
    """
    desk.array(op, index, "the weights")
    name = op.inputs[index]
    if len(desk.tensor(name).shape) != len(perm):
        raise HwsimError(op.where, f"the weights must have {counted(len(perm), 'dimension')}", f"shape {desk.tensor(name).shape}")
    laid = desk.laid_out(name, perm, f"{op.name}.weights")
    declared = desk.tensors[laid]
    quant, constant = declared.quant, declared.constant
    if quant is not None and constant is not None and not desk.stored(x):
        real = Constant(lambda: quant.dequantize(constant.array), laid)
        desk.tensors[laid] = replace(declared, format="float32", quant=None, constant=real)
        return laid
    if quant is not None and quant.format.is_signed and (len(perm) > 2 or quant.axis is not None):
        desk.tensors[laid] = replace(declared, quant=replace(quant, zero_point=np.zeros_like(quant.zero_point)))
    return laid


def _bias(op: TfliteOperator, desk: Desk, index: int, x: str, weights: str) -> tuple[str, ...]:
    """The bias in units of the accumulator, x_scale w_scale, whatever scale the file declares for it."""
    if not op.input(index):
        return ()
    if not desk.stored(x):
        return (desk.plain(op.inputs[index]),)
    array, bias = desk.array(op, index, "the bias"), desk.tensor(op.inputs[index])
    xq, wq = desk.tensor(x).quant, desk.tensors[weights].quant
    if xq is None or wq is None or bias.format not in ("int32", "int64"):
        raise HwsimError(op.where, "must have quantized weights and an int32 or int64 bias", bias.format)
    scale = (xq.scale * wq.scale).astype(np.float32)
    quant = QuantParams(formats.get(bias.format), scale, np.zeros(scale.shape, np.int64), 0 if scale.ndim else None)
    return (desk.constant(f"{op.name}.bias", array, quant),)


def _channels(op: TfliteOperator, desk: Desk, x: str) -> int:
    """Channels of images, (N, rows, columns, channels)."""
    shape = desk.tensor(x).shape
    if len(shape) != 4:
        raise HwsimError(op.where, "the input must be images of 4 dimensions", f"shape {shape}")
    return shape[-1]


def _hybrid(op: TfliteOperator, desk: Desk) -> dict[str, float]:
    """The steps of int8 weights with one scale behind a real input, which LiteRT then quantizes at run time."""
    w = desk.tensor(op.inputs[1])
    if desk.tensor(op.inputs[0]).format != "float32" or w.format != "int8" or w.quant is None or w.quant.axis is not None:
        return {}
    return {"weight_steps": float(w.quant.scale)}


def _conv(op: TfliteOperator, desk: Desk) -> None:
    """Filters (outputs, rows, columns, channels of a group); fewer channels than the input has make groups."""
    x = op.inputs[0]
    w = _weights(op, desk, x, 1, (0, 3, 1, 2))
    desk.image(x)
    channels, own = _channels(op, desk, x), desk.tensor(op.inputs[1]).shape[-1]
    if own < 1 or channels % own:
        raise HwsimError(op.where, "the filter's channels must divide the input's", f"{own} and {channels}")
    attrs = {**_window(op), "group": channels // own, **_hybrid(op, desk)}
    emit_bounded(op, desk, "Conv", (desk.image(x), w, *_bias(op, desk, 2, x, w)), attrs, image=True)


def _depthwise(op: TfliteOperator, desk: Desk) -> None:
    """Filters (1, rows, columns, channels x multiplier)."""
    x = op.inputs[0]
    w = _weights(op, desk, x, 1, (3, 0, 1, 2))
    desk.image(x)
    attrs = {**_window(op), "group": _channels(op, desk, x)}
    emit_bounded(op, desk, "Conv", (desk.image(x), w, *_bias(op, desk, 2, x, w)), attrs, image=True)


def _transpose_conv(op: TfliteOperator, desk: Desk) -> None:
    """Filters (outputs, rows, columns, channels); the padding follows from the output's size."""
    x = op.inputs[2]
    w = _weights(op, desk, x, 1, (3, 0, 1, 2))
    desk.image(x)
    given = desk.tensor(op.inputs[0]).constant
    size = [int(v) for v in given.array[1:3]] if given is not None else list(desk.tensor(op.outputs[0]).shape[1:3])
    kernel, strides = desk.tensor(op.inputs[1]).shape[1:3], [op.option("StrideH"), op.option("StrideW")]
    before, after = [], []
    for out, n, k, stride in zip(size, desk.tensor(x).shape[1:3], kernel, strides, strict=True):
        total = max((-(-out // stride) - 1) * stride + k - out, 0) if padding(op) != "VALID" else 0
        before.append(total // 2)
        after.append((n - 1) * stride + k - out - total // 2)
    pads, extra = [*before, *(max(a, 0) for a in after)], [max(-a, 0) for a in after]
    attrs = {"strides": strides, "pads": pads, "output_padding": extra}
    emit_bounded(op, desk, "ConvTranspose", (desk.image(x), w, *_bias(op, desk, 3, x, w)), attrs, image=True)


def _fully_connected(op: TfliteOperator, desk: Desk) -> None:
    """Rows of as many numbers as the weights (outputs, inputs) take."""
    x = op.inputs[0]
    w = _weights(op, desk, x, 1, (0, 1))
    outputs, depth = desk.tensor(op.inputs[1]).shape
    rows, shape = desk.plain(x), desk.tensor(x).shape
    if len(shape) != 2 or shape[1] != depth:
        flat = desk.between(f"{op.name}.rows", x)
        desk.node("Reshape", flat, (rows, desk.shape_input(op, "rows.shape", (-1, depth))), (flat,))
        rows = flat
    inputs, attrs = (rows, w, *_bias(op, desk, 2, x, w)), {"transB": 1, **_hybrid(op, desk)}
    if not op.option("KeepNumDims") or len(shape) == 2:
        emit_bounded(op, desk, "Gemm", inputs, attrs)
        return
    product = desk.between(f"{op.outputs[0]}.rows", op.outputs[0])
    emit_bounded(op, desk, "Gemm", inputs, attrs, target=product)
    wanted = desk.shape_input(op, "shape", (-1, *shape[1:-1], outputs))
    desk.node("Reshape", f"{op.name}.shape", (product, wanted), (desk.output(op.outputs[0]),))


def _batch_matmul(op: TfliteOperator, desk: Desk) -> None:
    attrs = {"transA": int(op.option("AdjX")), "transB": int(op.option("AdjY"))}
    desk.node("MatMul", op.name, [desk.plain(t) for t in op.inputs], (desk.output(op.outputs[0]),), attrs)


READS: dict[str, Callable[[TfliteOperator, Desk], None]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transpose_conv,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
}
