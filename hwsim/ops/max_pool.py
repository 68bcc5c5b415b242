"""Maximum over windows; on stored numbers it is the maximum of the numbers themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import pool
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader
from hwsim.ops._windows import resolve_pads, take_windows, window_of
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
    if not same or len(x.shape) > 4:
        return False
    source, target = desk.place(x), desk.place(y)
    desk.call(Kernel(pool.maximum, (source.kind,)), [source.offset, target.offset, *pool_arguments(step.node, x, y)])
    return True


def pool_arguments(node: Node, x: Tensor, y: Tensor) -> list[int]:
    """Images, sizes, kernel, strides, dilations and padding of a pool, as rows and columns."""
    (rows, columns), out = (1, *x.shape[2:])[-2:], (1, *y.shape[2:])[-2:]
    a = node.attrs
    return [
        x.shape[0],
        rows,
        columns,
        x.shape[1],
        *out,
        *two(a["kernel"], 1),
        *two(a["strides"], 1),
        *two(a["dilations"], 1),
        *two(a["before"], 0),
    ]
