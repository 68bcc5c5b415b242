"""Normalization by statistics of the input itself: layer, instance, group, RMS and local response."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from hwsim.arithmetics import _mlas_norm
from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import row_norm
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import ALIGN, Desk, float_bits, real_constant
from hwsim.ops._reading import Reader, axis_of, broadcast, input_name
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array


def _read_layer(s: SourceNode, r: Reader) -> None:
    kind, shape = "rms" if s.kind == "RMSNormalization" else "layer", r.shape(s.inputs[0])
    axis = axis_of(s, len(shape), s.attrs.get("axis", -1))
    for t in s.inputs[1:]:
        if t and broadcast(s.where, shape, r.shape(t)) != shape:
            raise HwsimError(s.where, f"'{t}' must broadcast to the input {shape}", r.shape(t))
    attrs = {"kind": kind, "axis": axis, "epsilon": float(s.attrs.get("epsilon", 1e-5))}
    r.emit(s, "normalization", s.inputs, attrs)


def _read_groups(s: SourceNode, r: Reader) -> None:
    """InstanceNormalization has one group per channel; GroupNormalization 18 gives scale and bias per group, 21 per channel."""
    channels = r.ranked(s, 0, 3)[1]
    groups = int(s.attrs.get("num_groups", channels))
    if groups < 1 or channels % groups:
        raise HwsimError(s.where, f"num_groups must divide {counted(channels, 'channel')}", groups)
    inputs = list(s.inputs)
    for i in (1, 2):
        array = r.array(inputs[i])
        if s.kind == "GroupNormalization" and array is not None and array.shape == (groups,) != (channels,):
            inputs[i] = r.add_constant(np.repeat(array, channels // groups), f"{inputs[i]}.per_channel")
        elif r.shape(inputs[i]) != (channels,):
            wanted = f"must have {counted(channels, 'number')}, one per channel"
            raise HwsimError(s.where, f"'{inputs[i]}' {wanted}", f"shape {r.shape(inputs[i])}")
    r.emit(s, "normalization", inputs, {"kind": "group", "groups": groups, "epsilon": float(s.attrs.get("epsilon", 1e-5))})


def _read_response(s: SourceNode, r: Reader) -> None:
    r.ranked(s, 0, 3)
    if s.attrs["size"] < 1:
        raise HwsimError(s.where, "size must be 1 or more", s.attrs["size"])
    attrs = {
        "kind": "response",
        "size": int(s.attrs["size"]),
        "alpha": float(s.attrs.get("alpha", 1e-4)),
        "beta": float(s.attrs.get("beta", 0.75)),
        "bias": float(s.attrs.get("bias", 1.0)),
    }
    r.emit(s, "normalization", (input_name(s, 0),), attrs)


READS = {
    "LayerNormalization": _read_layer,
    "RMSNormalization": _read_layer,
    "InstanceNormalization": _read_groups,
    "GroupNormalization": _read_groups,
    "LRN": _read_response,
}


def write(node: Node, operands: Operands) -> Written:
    a, kind = node.attrs, node.attrs["kind"]
    if kind == "response":
        return Written("LRN", node.inputs, {k: a[k] for k in ("size", "alpha", "beta", "bias")})
    if kind != "group":
        name, since = ("LayerNormalization", 21) if kind == "layer" else ("RMSNormalization", 23)
        return Written(name, node.inputs, {"axis": a["axis"], "epsilon": a["epsilon"]}, since=since)
    if operands[1] is not None and a["groups"] == operands[1].shape[0]:
        return Written("InstanceNormalization", node.inputs, {"epsilon": a["epsilon"]})
    return Written("GroupNormalization", node.inputs, {"num_groups": a["groups"], "epsilon": a["epsilon"]})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    axis = node.attrs.get("axis", len(x.shape)) % max(len(x.shape), 1)
    statistics = (*x.shape[:axis], *[1] * (len(x.shape) - axis))
    return [(x.shape, x.format), (statistics, "float32"), (statistics, "float32")]


def compute(node: Node, x: Array, scale: Array | None = None, bias: Array | None = None) -> Array | tuple[Array, ...]:
    """A layer normalization gives its mean and inverse deviation too."""
    kind, a = node.attrs["kind"], node.attrs
    if kind == "response":
        return _response(x, a)
    assert scale is not None
    if kind == "group":
        grouped = x.reshape(x.shape[0], a["groups"], -1)
        shape = (-1, *[1] * (x.ndim - 2))
        y = _standardize(grouped, (2,), a["epsilon"]).reshape(x.shape) * scale.reshape(shape)
        return (y if bias is None else y + bias.reshape(shape)).astype(x.dtype)
    rows, scales, shifts = (None if t is None else _in_rows(t, x.shape, a["axis"], _precise(x)) for t in (x, scale, bias))
    assert rows is not None and scales is not None
    if rows.dtype == np.float64:
        y, *statistics = _in_double(rows, scales, shifts, a["epsilon"], kind == "layer")
    elif kind == "layer":
        y, *statistics = _mlas_norm.layer_norm(rows, scales, shifts, a["epsilon"])
    else:
        y, statistics = _mlas_norm.rms_norm(rows, scales, a["epsilon"]), []
    y = y.astype(x.dtype).reshape(x.shape)
    return y if kind == "rms" else (y, *(s.reshape(*x.shape[: a["axis"]], *[1] * (x.ndim - a["axis"])) for s in statistics))


def _precise(x: Array) -> type:
    return np.float64 if x.dtype == np.float64 else np.float32


def _in_rows(t: Array, shape: Shape, axis: int, dtype: type = np.float32) -> Array:
    """A tensor broadcast to a shape, as rows of all numbers that are normalized together."""
    return np.broadcast_to(t, shape).astype(dtype).reshape(prod(shape[:axis]), prod(shape[axis:]))


def _in_double(x: Array, scale: Array, shift: Array | None, epsilon: float, centred: bool) -> tuple[Array, Array, Array]:
    """What `_mlas_norm` defines in float32, of float64 rows, in any order."""
    mean = x.mean(1, keepdims=True) * centred
    inverse = 1 / np.sqrt(np.square(x - mean).mean(1, keepdims=True) + np.float32(epsilon))
    y = (x - mean) * inverse * scale
    return (y if shift is None else y + shift), mean, inverse


def _standardize(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axes, keepdims=True) + np.float32(epsilon))


def _response(x: Array, a: Any) -> Array:
    size = a["size"]
    square = np.pad(x * x, [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (x.ndim - 2)])
    total = np.lib.stride_tricks.sliding_window_view(square, size, 1).sum(-1)
    return (x / (np.float32(a["bias"]) + np.float32(a["alpha"] / size) * total) ** np.float32(a["beta"])).astype(x.dtype)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {f"{node.attrs['kind']}_norm": outputs[0].elements}


def real(step: Step, desk: Desk) -> bool:
    """Layer and RMS normalization, with a constant scale and shift for each place of a row."""
    x, kind, axis = step.inputs[0], step.node.attrs["kind"], step.node.attrs.get("axis", 0)
    assert x is not None
    parts = {n: t for n, t in zip(("scale", "shift"), step.inputs[1:], strict=False) if t is not None}
    if kind not in _mlas_norm.LEAST or len(step.outputs) > 1 or not all(_same_in_rows(t, x, axis) for t in parts.values()):
        return False
    source, target, columns = desk.row_major(x), desk.row_major(step.outputs[0]), prod(x.shape[axis:])
    desk.reorder(desk.place(x), source)
    rows = x.elements // columns
    args = {"x": source.offset, "y": target.offset, "rows": rows, "columns": columns, "epsilon": float_bits(step.node.attrs["epsilon"])}
    args |= {"together": rows - rows % row_norm.TOGETHER, "fours": columns - columns % 4, "eights": columns - columns % 8}
    args |= {n: desk.keep(np.pad(_in_rows(real_constant(t), x.shape[axis:], 0)[0], (0, ALIGN))) for n, t in parts.items()}
    make = row_norm.normalize if columns >= _mlas_norm.LEAST[kind] else row_norm.normalize_short
    desk.call_named(Kernel(make, (kind == "layer", "shift" in parts)), row_norm.NORM_ARGS, args)
    desk.reorder(target, desk.place(step.outputs[0]))
    return True


def _same_in_rows(t: Tensor, x: Tensor, axis: int) -> bool:
    """Whether numbers are constant and the same in all rows of x."""
    return t.constant is not None and prod(t.shape[: max(len(t.shape) - len(x.shape) + axis, 0)]) == 1
