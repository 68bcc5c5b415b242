"""TFLite operators that only move numbers: stored ones are copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.io.tflite_parts import NCHW, Desk, TfliteOperator

__all__ = ["READS"]

Read = Callable[[TfliteOperator, Desk], None]


def _reshape(op: TfliteOperator, desk: Desk) -> None:
    """To the shape that a second input, an option or the output declares; the batch may be any."""
    given = desk.tensor(op.inputs[1]).constant if op.input(1) else None
    option = op.options.NewShapeAsNumpy() if op.kind == "RESHAPE" and op.options is not None else None
    shape = [int(v) for v in given.array.ravel()] if given is not None else list(desk.tensor(op.outputs[0]).shape)
    if given is None and isinstance(option, np.ndarray):
        shape = [int(v) for v in option]
    _emit_reshape(op, desk, shape)


def _emit_reshape(op: TfliteOperator, desk: Desk, shape: Sequence[int]) -> None:
    shape = [-1, *shape[1:]] if desk.network.batched and len(shape) > 1 and -1 not in shape else list(shape)
    desk.node("Reshape", op.name, (desk.plain(op.inputs[0]), desk.shape_input(op, "shape", shape)), (desk.output(op.outputs[0]),))


def _same_elements(op: TfliteOperator, desk: Desk) -> None:
    """SQUEEZE and EXPAND_DIMS, whose output declares its shape."""
    _emit_reshape(op, desk, desk.tensor(op.outputs[0]).shape)


def _transpose(op: TfliteOperator, desk: Desk) -> None:
    perm = [int(v) for v in desk.array(op, 1, "the order of axes").ravel()]
    desk.node("Transpose", op.name, (desk.plain(op.inputs[0]),), (desk.output(op.outputs[0]),), {"perm": perm})


def _pad(op: TfliteOperator, desk: Desk) -> None:
    """PAD fills with real zero, PADV2 with a given number."""
    x, widths = op.inputs[0], desk.array(op, 1, "the padding")
    if widths.shape != (len(desk.tensor(x).shape), 2):
        raise HwsimError(op.where, f"the padding must have 2 numbers for each of {len(desk.tensor(x).shape)} dimensions", widths.shape)
    inputs = [op.inputs[0]]
    images = desk.are_images(inputs)
    widths = widths[list(NCHW)] if images else widths
    pads = desk.shape_input(op, "pads", [*widths[:, 0], *widths[:, 1]])
    value = (desk.plain(op.inputs[2]),) if op.input(2) else _zero(op, desk)
    source = desk.image(x) if images else desk.plain(x)
    desk.node("Pad", op.name, (source, pads, *value), (desk.output(op.outputs[0], images),))


def _zero(op: TfliteOperator, desk: Desk) -> tuple[str, ...]:
    """Real zero as the output stores it; nothing where the output is real."""
    quant = desk.tensor(op.outputs[0]).quant
    return () if quant is None else (desk.constant(f"{op.name}.value", np.asarray(quant.zero_point, quant.format.dtype)),)


def _concatenation(op: TfliteOperator, desk: Desk) -> None:
    if op.option("FusedActivationFunction"):
        raise HwsimError(op.where, "must have no fused activation", op.option("FusedActivationFunction"))
    axis = op.axis(op.option("Axis"), len(desk.tensor(op.inputs[0]).shape))
    images = desk.are_images(op.inputs)
    inputs = [desk.image(t) if images else desk.plain(t) for t in op.inputs]
    desk.node("Concat", op.name, inputs, (desk.output(op.outputs[0], images),), {"axis": NCHW.index(axis) if images else axis})


def _split(op: TfliteOperator, desk: Desk) -> None:
    x = op.inputs[1]
    axis = op.axis(desk.number(op, 0, "the axis"), len(desk.tensor(x).shape))
    desk.node("Split", op.name, (desk.plain(x),), [desk.output(t) for t in op.outputs], {"axis": axis})


def _split_v(op: TfliteOperator, desk: Desk) -> None:
    x = op.inputs[0]
    axis = op.axis(desk.number(op, 2, "the axis"), len(desk.tensor(x).shape))
    sizes = [int(v) for v in desk.array(op, 1, "the sizes").ravel()]
    if -1 in sizes:
        sizes[sizes.index(-1)] = desk.tensor(x).shape[axis] - sum(v for v in sizes if v >= 0)
    inputs = (desk.plain(x), desk.shape_input(op, "sizes", sizes))
    desk.node("Split", op.name, inputs, [desk.output(t) for t in op.outputs], {"axis": axis})


def _pack(op: TfliteOperator, desk: Desk) -> None:
    """Stacking: each input gets a new axis, then they are joined along it."""
    axis = op.axis(op.option("Axis"), len(desk.tensor(op.inputs[0]).shape) + 1)
    parts = []
    for i, t in enumerate(op.inputs):
        parts.append(desk.between(f"{op.name}.part{i}", t))
        desk.node("Unsqueeze", parts[-1], (desk.plain(t),), (parts[-1],), {"axes": [axis]})
    desk.node("Concat", op.name, parts, (desk.output(op.outputs[0]),), {"axis": axis})


def _gather(op: TfliteOperator, desk: Desk) -> None:
    if op.option("BatchDims"):
        raise HwsimError(op.where, "must have no batch dimensions", op.option("BatchDims"))
    inputs = [desk.plain(t) for t in op.inputs]
    desk.node("Gather", op.name, inputs, (desk.output(op.outputs[0]),), {"axis": op.option("Axis")})


def _strided_slice(op: TfliteOperator, desk: Desk) -> None:
    """A box; `begin` and `end` masks open a side, `shrink` keeps one entry and drops the axis."""
    x, shape = op.inputs[0], desk.tensor(op.inputs[0]).shape
    if op.option("EllipsisMask") or op.option("NewAxisMask"):
        raise HwsimError(op.where, "must have no ellipsis and no new axis", f"{op.option('EllipsisMask')}, {op.option('NewAxisMask')}")
    begin, end, step = ([int(v) for v in desk.array(op, i, what).ravel()] for i, what in ((1, "begin"), (2, "end"), (3, "the strides")))
    if not len(begin) == len(end) == len(step) <= len(shape) or 0 in step:
        raise HwsimError(op.where, f"must have a begin, an end and a stride for axes of {shape}", f"{begin}, {end} and {step}")
    dropped = [a for a in range(len(begin)) if op.option("ShrinkAxisMask") >> a & 1]
    attrs: dict[str, Any] = {"starts": [], "ends": [], "steps": [], "axes": []}
    for a, n in enumerate(shape[: len(begin)]):
        first = None if op.option("BeginMask") >> a & 1 else begin[a]
        last = None if op.option("EndMask") >> a & 1 else end[a]
        box = slice(first or 0, (first or 0) + 1 or None, 1) if a in dropped else slice(first, last, step[a])
        whole_batch = desk.network.batched and a == 0 and box == slice(0, 1, 1)
        if box in (slice(None, None, 1), slice(0, None, 1)) or whole_batch:
            continue
        start, stop, stride = box.indices(n)
        for key, v in zip(attrs, (start, stop if stop >= 0 else -(1 << 31), stride, a), strict=True):
            attrs[key].append(v)
    images = desk.are_images((x,)) and not dropped
    if images:
        attrs["axes"] = [NCHW.index(a) for a in attrs["axes"]]
    source = desk.image(x) if images else desk.plain(x)
    if not dropped:
        desk.node("Slice", op.name, (source,), (desk.output(op.outputs[0], images),), attrs)
        return
    box_name = desk.between(f"{op.outputs[0]}.box", op.outputs[0])
    desk.node("Slice", op.name, (source,), (box_name,), attrs)
    desk.node("Squeeze", f"{op.name}.shrink", (box_name,), (desk.output(op.outputs[0]),), {"axes": dropped})


def _slice(op: TfliteOperator, desk: Desk) -> None:
    begin, size = ([int(v) for v in desk.array(op, i, what).ravel()] for i, what in ((1, "begin"), (2, "the size")))
    shape = desk.tensor(op.inputs[0]).shape
    if not len(begin) == len(size) == len(shape):
        raise HwsimError(op.where, f"must have a begin and a size for each axis of {shape}", f"{begin} and {size}")
    axes = [a for a in range(len(shape)) if (begin[a], size[a]) != (0, shape[a]) and (begin[a], size[a]) != (0, -1)]
    ends = [begin[a] + size[a] if size[a] >= 0 else shape[a] for a in axes]
    attrs = {"starts": [begin[a] for a in axes], "ends": ends, "axes": axes}
    desk.node("Slice", op.name, (desk.plain(op.inputs[0]),), (desk.output(op.outputs[0]),), attrs)


def _depth_to_space(op: TfliteOperator, desk: Desk) -> None:
    attrs = {"blocksize": op.option("BlockSize"), "mode": "DCR"}
    desk.node("DepthToSpace", op.name, (desk.image(op.inputs[0]),), (desk.output(op.outputs[0], True),), attrs)


READS: dict[str, Read] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _same_elements,
    "EXPAND_DIMS": _same_elements,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "CONCATENATION": _concatenation,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "PACK": _pack,
    "GATHER": _gather,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "DEPTH_TO_SPACE": _depth_to_space,
}
