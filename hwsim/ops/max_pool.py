"""Maximum over windows; on stored numbers it is the maximum of the numbers themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import pool
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk, Place
from hwsim.ops._mac_plan import plane_of
from hwsim.ops._reading import Reader
from hwsim.ops._windows import resolve_pads, take_windows, window_attrs, window_of
from hwsim.ops._writing import Operands, Written
from hwsim.ops.conv import two
from hwsim.program import Step
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    if len(s.outputs) > 1 and s.outputs[1]:
        raise HwsimError(s.where, "must have one output (indices are not supported)", len(s.outputs))
    shape = r.shape(s.inputs[0])
    r.emit(s, "max_pool", s.inputs, resolve_pads(s, [int(k) for k in s.attrs["kernel_shape"]], shape[2:]), s.outputs[:1])


def _read_global(s: SourceNode, r: Reader) -> None:
    size = r.shape(s.inputs[0])[2:]
    r.emit(s, "max_pool", s.inputs, resolve_pads(s, size, size))


READS = {"MaxPool": _read, "GlobalMaxPool": _read_global}


def write(node: Node, operands: Operands) -> Written:
    return Written("MaxPool", node.inputs, window_attrs(node))


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [((*x.shape[:2], *window_of(node.attrs).output(x.shape[2:])), x.format)]


def compute(node: Node, x: Array) -> Array:
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    y: Array = take_windows(x, window_of(node.attrs), lowest).max(tuple(range(x.ndim, 2 * x.ndim - 2)))
    return y


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"max": outputs[0].elements * int(np.prod(node.attrs["kernel"]))}


def kernel(step: Step, desk: Desk) -> bool:
    """Two spatial dimensions at most; the output keeps the input's grid."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    same = x.quant is not None and y.quant is not None and x.quant.same_grid(y.quant)
    return same and real(step, desk)


def real(step: Step, desk: Desk) -> bool:
    """The same on float32 numbers."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    if len(x.shape) > 4:
        return False
    source, target = desk.place(x), desk.place(y)
    desk.call_named(Kernel(pool.maximum, (source.kind,)), pool.POOL_ARGS, pool_arguments(step.node, source, target))
    return True


def pool_arguments(node: Node, x: Place, y: Place) -> dict[str, int]:
    """Sizes and strides of both tensors, and the window, by rows and columns."""
    source, target, a = plane_of(x), plane_of(y), node.attrs
    args = {"x": x.offset, "y": y.offset, "images": source.images, "channels": source.channels}
    args |= {"x_image": source.image, "y_image": target.image}
    sizes = {
        "in": (source.rows, source.columns),
        "out": (target.rows, target.columns),
        "x": (source.row, source.column),
        "y": (target.row, target.column),
        **{n: two(a[key], d) for n, key, d in (("kernel", "kernel", 1), ("stride", "strides", 1), ("dilation", "dilations", 1))},
        "pad": two(a["before"], 0),
    }
    return args | {f"{name}_{axis}": pair[i] for name, pair in sizes.items() for i, axis in enumerate(pool.AXES)}
