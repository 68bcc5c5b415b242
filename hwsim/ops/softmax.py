"""Softmax and its logarithm along one axis; before opset 13 all axes from `axis` on are taken together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from hwsim.arithmetics import _default, _mlas_softmax, arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import softmax as kernels
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import ALIGN, Desk, Place, float_bits
from hwsim.ops._reading import Reader, axis_of
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.program import Step
from hwsim.quant import Array

MOST_COLUMNS = 1 << 12  # whose exponentials have a sum in LiteRT's Q12.19


def _attrs(s: SourceNode, r: Reader, log: bool) -> dict[str, Any]:
    rank = len(r.shape(s.inputs[0]))
    opset = int(s.attrs.get("opset", s.opset))
    axis = axis_of(s, max(rank, 1), s.attrs.get("axis", -1 if opset >= 13 else 1))
    return {"axes": (axis,) if opset >= 13 else tuple(range(axis, rank)), "log": log, "beta": float(s.attrs.get("beta", 1.0))}


def _read(s: SourceNode, r: Reader) -> None:
    r.emit(s, "softmax", s.inputs, _attrs(s, r, log=s.kind == "LogSoftmax"))


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    x = r.quantized(s, 0, 1, 2)
    r.emit(s, "softmax", (x,), _attrs(s, r, log=False), quants=[r.params(s, x, 3, 4, fmt=r.tensors[x].format)])


READS = {"Softmax": _read, "LogSoftmax": _read, "com.microsoft.QLinearSoftmax": _read_qlinear}


def write(node: Node, operands: Operands) -> Written | list[Written]:
    """All trailing axes at once go through a matrix and back."""
    a, x = node.attrs, operands[0]
    assert x is not None
    kind = "LogSoftmax" if a["log"] else "Softmax"
    if a["beta"] != 1:
        raise HwsimError(node.where, "beta must be 1.0 to be written as ONNX", a["beta"])
    if len(a["axes"]) == 1:
        return Written(kind, node.inputs, {"axis": a["axes"][0]})
    rows, flat = f"{node.outputs[0]}.rows", f"{node.outputs[0]}.flat"
    return [
        Written("Flatten", node.inputs, {"axis": len(x.shape) - len(a["axes"])}, (rows,)),
        Written(kind, (rows,), {"axis": 1}, (flat,)),
        Written("Reshape", (flat, numbers(x.shape))),
    ]


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [(x.shape, x.format if x.quant is None else "float32")]


def compute(node: Node, x: Array) -> Array:
    axes, beta = node.attrs["axes"], np.float32(node.attrs.get("beta", 1.0))
    if x.dtype == np.float32:
        rows, back = _rows(axes, x)
        return back(_mlas_softmax.softmax(rows.reshape(-1, rows.shape[-1]), beta, node.attrs["log"]))
    shifted = (x - x.max(axes, keepdims=True)) * x.dtype.type(beta)
    e = np.exp(shifted)
    total = e.sum(axes, keepdims=True)
    return shifted - np.log(total) if node.attrs["log"] else e / total


def integer(step: Step, x: Array) -> Array:
    """Rows through a table of exponentials, a sequential float32 sum, quotients in float64; logarithms dequantize, compute and quantize."""
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    own = getattr(arithmetic_of(step), "softmax", None)
    if own is not None and not step.node.attrs["log"]:
        return _by_integers(step, x, own(source.quant, target, step.node.attrs.get("beta", 1.0)))
    if not _by_table(step):
        return target.quantize(compute(step.node, source.quant.dequantize(x)))
    rows, back = _rows(step.node.attrs["axes"], x.astype(np.int64))
    table, factor = _table(step, rows.shape[-1])
    entry = table[rows.max(-1, keepdims=True) - rows]
    total = np.add.accumulate(entry, -1, dtype=np.float32)[..., -1:]
    v = np.rint(entry.astype(np.float64) * factor / total) + int(target.zero_point)
    return back(np.clip(v, target.qmin, target.qmax).astype(target.format.dtype))


def _rows(axes: Sequence[int], x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The numbers that are normalized together as rows, and the way back to the tensor's own order."""
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    turned = x.transpose(order)
    rows = turned.reshape(*turned.shape[: x.ndim - len(axes)], -1)
    return rows, lambda y: y.reshape(turned.shape).transpose(np.argsort(order))


def _by_integers(step: Step, x: Array, parts: tuple[Array, Any, Array, Any]) -> Array:
    """Rows through a table of exponentials, their sum, and the arithmetic's own quotient."""
    target = step.outputs[0].quant
    assert target is not None
    exponentials, addend, reciprocals, out = parts
    rows, back = _rows(step.node.attrs["axes"], x.astype(np.int64))
    distance = rows.max(-1, keepdims=True) - rows
    e = exponentials[distance]
    y = out(e, addend(e).sum(-1, keepdims=True), reciprocals, int(target.qmin))
    return back(np.clip(y, target.qmin, target.qmax).astype(target.format.dtype))


def _by_table(step: Step) -> bool:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    return not step.node.attrs["log"] and source.quant.bits <= 8 and target.bits <= 8


def _table(step: Step, n: int) -> tuple[Array, float]:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    make = getattr(arithmetic_of(step), "softmax_table", _default.softmax_table)
    return make(n, source.quant, target)


def kernel(step: Step, desk: Desk) -> bool:
    """Stored numbers, by the arithmetic's own integers or through a table of real exponentials."""
    x, y, a = step.inputs[0], step.outputs[0], step.node.attrs
    own = None if a["log"] else getattr(arithmetic_of(step), "softmax", None)
    if x is None or x.quant is None or y.quant is None or (own is None and not _by_table(step)):
        return False
    if own is not None and _columns(step) >= MOST_COLUMNS:
        return False
    source, target, args = _in_rows(step, desk)
    args |= {"low": int(y.quant.qmin), "high": int(y.quant.qmax), "y_bias": target.bias}
    if own is not None:
        table, addend, reciprocals, out = own(x.quant, y.quant, a.get("beta", 1.0))
        args |= {
            "table": desk.keep(table.astype(np.int32)),
            "scratch": desk.work(4 * args["columns"]),
            "reciprocals": desk.keep(reciprocals),
        }
        desk.call_named(Kernel(kernels.softmax, (source.kind, target.kind, addend, out)), kernels.INTEGER_ARGS, args)
    else:
        table, factor = _table(step, args["columns"])
        args |= {"table": desk.keep(table), "scratch": desk.work(4 * kernels.TOGETHER * (args["columns"] + ALIGN))}
        args |= {"factor": int(np.float64(factor).view(np.int64)), "zero": int(y.quant.zero_point)}
        args |= {"together": args["rows"] - args["rows"] % kernels.TOGETHER}
        desk.call_named(Kernel(kernels.softmax_real, (source.kind,)), kernels.REAL_ARGS, args)
    desk.reorder(target, desk.place(y))
    return True


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers."""
    _, target, args = _in_rows(step, desk)
    args["beta"] = float_bits(step.node.attrs.get("beta", 1.0))
    functions: tuple[Any, ...] = (_mlas_softmax.exponential,)
    if step.node.attrs["log"]:
        functions = (*functions, _mlas_softmax.logarithm)
        args |= {"inverses": desk.keep(_mlas_softmax.INVERSES), "logarithms": desk.keep(_mlas_softmax.LOGARITHMS)}
    desk.call_named(Kernel(kernels.softmax_float, functions), kernels.FLOAT_ARGS, args)
    desk.reorder(target, desk.place(step.outputs[0]))
    return True


def _columns(step: Step) -> int:
    """How many numbers are normalized together."""
    x = step.inputs[0]
    assert x is not None
    return prod(x.shape[a] for a in step.node.attrs["axes"])


def _in_rows(step: Step, desk: Desk) -> tuple[Place, Place, dict[str, int]]:
    """Input and output with the numbers that are normalized together side by side, and what every kernel is told of them."""
    x, axes, columns = step.inputs[0], step.node.attrs["axes"], _columns(step)
    assert x is not None
    order = [*(a for a in range(len(x.shape)) if a not in axes), *axes]
    source, target = desk.row_major(x, order), desk.row_major(step.outputs[0], order)
    desk.reorder(desk.place(x), source)
    return source, target, {"x": source.offset, "y": target.offset, "rows": x.elements // columns, "columns": columns}


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"softmax": outputs[0].elements}
