"""Normalization by statistics of the input itself: layer, instance, group, RMS and local response."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axis_of, broadcast, input_name
from hwsim.ops._writing import Operands, Written
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
    axes = tuple(range(a["axis"] % x.ndim, x.ndim))
    if kind == "rms":
        return (x / np.sqrt(np.mean(x * x, axes, keepdims=True) + np.float32(a["epsilon"])) * scale).astype(x.dtype)
    mean = x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(np.mean((x - mean) ** 2, axes, keepdims=True) + np.float32(a["epsilon"]))
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias).astype(x.dtype), mean, inverse


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
