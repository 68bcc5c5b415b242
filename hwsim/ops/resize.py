"""Resize and Upsample: nearest and linear interpolation over the last axes, with every coordinate mode of ONNX but tf_crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from hwsim.arithmetics import _default, arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import integers
from hwsim.kernels.blending import BLEND_ARGS, blend
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import WIDTHS, Desk
from hwsim.ops._reading import MAX_ELEMENTS, Reader, axes_of, choice, input_name
from hwsim.ops._tables import emit_moves
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.program import Step
from hwsim.quant import Array

_MODES = ("nearest", "linear")
_COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric", "tf_half_pixel_for_nn")

_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _read(s: SourceNode, r: Reader) -> None:
    shape = r.shape(s.inputs[0])
    upsample = s.kind == "Upsample" or s.opset < 11
    scales = _scales(s, r, 1 if upsample else 2)
    sizes = None if upsample or not input_name(s, 3) else [int(v) for v in r.need(s, 3, "the sizes").ravel()]
    axes = axes_of(s, len(shape), s.attrs.get("axes", range(len(shape))))
    if bool(scales) == bool(sizes):
        raise HwsimError(s.where, "one of scales and sizes must be given", "both" if scales else "none")
    given: Sequence[float] = scales or sizes or []
    if len(given) != len(axes) or not all(0 < v < MAX_ELEMENTS for v in given) or min(shape) < 1:
        raise HwsimError(s.where, f"must have {len(axes)} positive scales or sizes for a shape {shape}", given)
    out, factors = list(shape), [1.0] * len(shape)
    for i, a in enumerate(axes):
        out[a] = sizes[i] if sizes else int(np.floor(shape[a] * (scales or [])[i]))
        factors[a] = (scales or [])[i] if not sizes else out[a] / shape[a]
    choice(s, "nearest_mode", _NEAREST, "round_prefer_floor")
    mode = {"bilinear": "linear"}.get(s.attrs.get("mode", "nearest"), s.attrs.get("mode", "nearest"))
    coordinate = "asymmetric" if upsample else s.attrs.get("coordinate_transformation_mode", "half_pixel")
    if mode not in _MODES or coordinate not in _COORDINATES or s.attrs.get("antialias", 0):
        raise HwsimError(s.where, f"mode must be nearest or linear with one of {', '.join(_COORDINATES)}", f"{mode}, {coordinate}")
    if s.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise HwsimError(s.where, "keep_aspect_ratio_policy must be stretch", s.attrs["keep_aspect_ratio_policy"])
    nearest = "floor" if upsample else s.attrs.get("nearest_mode", "round_prefer_floor")
    r.emit(
        s,
        "resize",
        s.inputs[:1],
        {
            "size": tuple(out),
            "factors": tuple(factors),
            "mode": mode,
            "coordinate": coordinate,
            "nearest": nearest,
            "multiply": bool(s.attrs.get("multiply", 0)),
        },
    )


def _scales(s: SourceNode, r: Reader, index: int) -> list[float] | None:
    if "scales" in s.attrs:
        return [float(v) for v in s.attrs["scales"]]
    return [float(v) for v in r.need(s, index, "the scales").ravel()] if input_name(s, index) else None


READS = {"Resize": _read, "Upsample": _read}


def write(node: Node, operands: Operands) -> Written:
    """Scales, which leave the batch open, where they say the same; else the sizes of the axes that change."""
    a, x = node.attrs, operands[0]
    assert x is not None
    axes = resized_axes(node, x.shape)
    if not axes:
        return Written("Identity", node.inputs[:1])
    scales = np.array([_scale(n, m, f) for n, m, f in zip(x.shape, a["size"], a["factors"], strict=True)], np.float32)
    by_scales = a["multiply"] or all(float(s) == f for s, f in zip(scales, a["factors"], strict=True))
    attrs = {"mode": a["mode"], "coordinate_transformation_mode": a["coordinate"], "nearest_mode": a["nearest"]}
    attrs |= {"multiply": 1} if a["multiply"] else {}
    if by_scales:
        return Written("Resize", (node.inputs[0], "", scales), attrs)
    return Written("Resize", (node.inputs[0], "", "", numbers([a["size"][i] for i in axes])), {**attrs, "axes": axes})


def _scale(n: int, m: int, factor: float) -> np.float32:
    """The nearest float32 factor that gives m cells of n."""
    scale = np.float32(factor)
    return scale if np.floor(n * float(scale)) == m else np.nextafter(scale, np.float32(np.inf))


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(node.attrs["size"], inputs[0].format)]


def source_positions(node: Node, axis: int, n: int) -> Array:
    """Where each output index lies on the input axis of n cells, in float32 as ONNX Runtime computes it."""
    f32 = np.float32
    mode, m, factor = node.attrs["coordinate"], node.attrs["size"][axis], f32(node.attrs["factors"][axis])
    i = np.arange(m, dtype=f32)
    if node.attrs.get("multiply"):
        return _tflite_positions(mode, n, m)
    if mode == "asymmetric":
        return (i / factor).astype(f32)
    if mode == "align_corners":
        return (i * f32(n - 1) / f32(m - 1)).astype(f32) if m > 1 else i * 0
    if mode == "tf_half_pixel_for_nn":
        return ((i + f32(0.5)) / factor).astype(f32)
    if mode == "pytorch_half_pixel" and m == 1:
        return i * 0
    position = ((i + f32(0.5)) / factor - f32(0.5)).astype(f32)
    if mode == "half_pixel_symmetric":
        adjust = f32(m) / f32(factor * f32(n))
        return (f32(n) / f32(2) * (f32(1) - adjust) + position).astype(f32)
    return position


def _tflite_positions(mode: str, n: int, m: int) -> Array:
    """TFLite multiplies by float32(n / m) where ONNX divides by the factor (reference_ops ComputeInterpolationValues)."""
    f32 = np.float32
    aligned = mode == "align_corners" and m > 1
    step = f32(f32(n - 1) / f32(m - 1)) if aligned else f32(f32(n) / f32(m))
    ahead, behind = {"half_pixel": (f32(0.5), f32(0.5)), "tf_half_pixel_for_nn": (f32(0.5), f32(0))}.get(mode, (f32(0), f32(0)))
    return ((np.arange(m, dtype=f32) + ahead) * step - behind).astype(f32)


def nearest_indices(node: Node, axis: int, n: int) -> Array:
    """The input index that each output index takes."""
    x = source_positions(node, axis, n)
    mode = node.attrs["nearest"]
    if mode == "round_prefer_ceil":
        rounded = np.floor(x + 0.5)
    elif mode == "round_prefer_floor":
        rounded = np.ceil(x - 0.5)
    else:
        rounded = np.floor(x) if mode == "floor" else np.ceil(x)
    return np.clip(rounded, 0, n - 1).astype(np.int64)


def linear_taps(node: Node, axis: int, n: int) -> tuple[Array, Array, Array]:
    """Lower and upper input index and the float32 weight of the upper one, for each output index."""
    x = np.clip(source_positions(node, axis, n), 0, n - 1)
    low = np.floor(x).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), (x - low).astype(np.float32)


def resized_axes(node: Node, shape: Shape) -> list[int]:
    """The axes whose size changes or that are scaled."""
    return [a for a, n in enumerate(shape) if node.attrs["size"][a] != n or node.attrs["factors"][a] != 1]


def compute(node: Node, x: Array) -> Array:
    axes = resized_axes(node, x.shape)
    if node.attrs["mode"] == "nearest":
        for a in axes:
            x = np.take(x, nearest_indices(node, a, x.shape[a]), a)
        return x
    y = x.astype(np.float32)
    for a in reversed(axes):
        low, high, weight = linear_taps(node, a, x.shape[a])
        weight = weight.reshape([-1 if i == a else 1 for i in range(x.ndim)])
        y = np.take(y, low, a) * (1 - weight) + np.take(y, high, a) * weight
    return y.astype(x.dtype)


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    if step.node.attrs["mode"] == "nearest":
        y = compute(step.node, x)
        return y if source.quant.same_grid(target) else target.quantize(source.quant.dequantize(y))
    own = _own(step)
    if own is None:
        return target.quantize(compute(step.node, source.quant.dequantize(x)))
    (top, bottom, wy), (left, right, wx) = own[1:]
    rows = [np.take(x.astype(np.int64), taps, 2) for taps in (top, bottom)]
    corners = [np.take(r, taps, 3) for r in rows for taps in (left, right)]
    y = own[0](*corners, wy[:, None], wx)
    return np.clip(y, target.qmin, target.qmax).astype(target.format.dtype)


def _own(step: Step) -> tuple[Any, ...] | None:
    """How the arithmetic itself interpolates stored images: the function of four neighbours, and the taps of rows and of columns."""
    x, y, attrs = step.inputs[0], step.outputs[0], step.node.attrs
    make = getattr(arithmetic_of(step), "resize", None)
    assert x is not None
    if make is None or len(x.shape) != 4 or not set(resized_axes(step.node, x.shape)) <= {2, 3}:
        return None
    blend = make(x.format, attrs["coordinate"])
    return None if blend is None else (blend.function, *(blend.along(attrs["coordinate"], x.shape[a], y.shape[a]) for a in (2, 3)))


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"copy" if node.attrs["mode"] == "nearest" else "interpolate": outputs[0].elements}


def kernel(step: Step, desk: Desk) -> bool:
    """Nearest neighbours are a move; linear interpolation of the last two axes has a kernel of its own."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    if step.node.attrs["mode"] == "nearest":
        return emit_moves(step, desk, compute)
    own = _own(step)
    if own is not None:
        return _interpolate(step, desk, own)
    if x.quant is None or y.quant is None or len(x.shape) != 4 or set(resized_axes(step.node, x.shape)) != {2, 3} or x.format != y.format:
        return False
    numbers = (x.quant.zero_point, x.quant.scale, y.quant.scale, y.quant.qmin, y.quant.qmax, y.quant.zero_point)
    taps = [linear_taps(step.node, a, x.shape[a]) for a in (2, 3)]
    return _interpolate(step, desk, (_default.interpolated, *taps), np.array(numbers, np.float64))


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers: nearest ones are moved, linear interpolation goes axis by axis."""
    x, y = step.inputs[0], step.outputs[0]
    if x is None or x.constant is not None or step.node.attrs["mode"] == "nearest":
        return emit_moves(step, desk, compute)
    out, sizes = desk.row_major(y, desk.place(y).order), list(x.shape)
    source = desk.row_major(x, out.order)
    desk.reorder(desk.place(x), source)
    at, axes = source.offset, resized_axes(step.node, x.shape)[::-1]
    for a in axes:
        low, high, weights = linear_taps(step.node, a, x.shape[a])
        place = out.order.index(a)
        outer, inner = (prod(sizes[i] for i in part) for part in (out.order[:place], out.order[place + 1 :]))
        args = {"x": at, "outer": outer, "size": sizes[a], "out": len(low), "inner": inner}
        args |= {"low": desk.keep(low), "high": desk.keep(high), "weights": desk.keep(weights)}
        sizes[a] = len(low)
        at = out.offset if a == axes[-1] else desk.work(WIDTHS["f32"] * prod(sizes))
        desk.call_named(Kernel(blend), BLEND_ARGS, {**args, "y": at})
    desk.reorder(replace(source, shape=y.shape, offset=at), desk.place(y))
    return True


def _interpolate(step: Step, desk: Desk, own: tuple[Any, ...], parameters: Array | None = None) -> bool:
    """`own`: the function of four neighbours, and the taps of rows and of columns."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None and y.quant is not None
    source, target = desk.plain(desk.place(x)), desk.plain(desk.place(y))
    desk.reorder(desk.place(x), source)
    sizes = dict(zip(("images", "channels", "rows", "columns"), x.shape, strict=True))
    args = {"x": source.offset, "y": target.offset, **sizes, "out_rows": y.shape[2], "out_columns": y.shape[3]}
    for axis, (low, high, weights) in zip(("row", "column"), own[1:], strict=True):
        args |= {f"{axis}_low": desk.keep(low), f"{axis}_high": desk.keep(high), f"{axis}_weights": desk.keep(weights.astype(np.float64))}
    args |= {"x_bias": source.bias, "y_bias": target.bias, "low": int(y.quant.qmin), "high": int(y.quant.qmax)}
    given = () if parameters is None else (len(parameters),)
    args |= {} if parameters is None else {"parameters": desk.keep(parameters)}
    desk.call_named(Kernel(integers.interpolate, (source.kind, own[0], *given)), integers.RESIZE_ARGS, args)
    desk.reorder(target, desk.place(y))
    return True
