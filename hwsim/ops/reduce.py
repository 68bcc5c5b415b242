"""Reductions over axes: mean, sum, max, min, product and norms.

Stored numbers: means and sums are requantized from the exact sum, the others dequantize, compute in float32 and quantize.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from hwsim.arithmetics import _default, arithmetic_of
from hwsim.arithmetics._rounding import wrap32
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import integers
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._mac import Epilogue
from hwsim.ops._mac_plan import way_out
from hwsim.ops._reading import Reader, axes_of
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.program import Step
from hwsim.quant import Array

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "l1": lambda x, axes, keepdims: np.abs(x).sum(axes, keepdims=keepdims),
    "l2": lambda x, axes, keepdims: np.sqrt((x * x).sum(axes, keepdims=keepdims)),
    "sum_square": lambda x, axes, keepdims: (x * x).sum(axes, keepdims=keepdims),
    "log_sum": lambda x, axes, keepdims: np.log(x.sum(axes, keepdims=keepdims)),
    "log_sum_exp": lambda x, axes, keepdims: np.log(np.exp(x - x.max()).sum(axes, keepdims=keepdims)) + x.max(),
}
_SOURCES = {
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceSumSquare": "sum_square",
    "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
}


def _read(s: SourceNode, r: Reader) -> None:
    rank = len(r.shape(s.inputs[0]))
    axes, keep, noop = r.ints(s, "axes", 1), bool(s.attrs.get("keepdims", 1)), bool(s.attrs.get("noop_with_empty_axes", 0))
    if not axes and noop:
        r.emit(s, "reshape", s.inputs[:1], {"shape": r.shape(s.inputs[0])})
        return
    chosen = tuple(sorted(axes_of(s, rank, axes))) if axes else tuple(range(rank))
    if s.kind in ("ReduceMax", "ReduceMin", "ReduceLogSumExp") and any(r.shape(s.inputs[0])[a] == 0 for a in chosen):
        raise HwsimError(s.where, "must reduce one number or more", f"shape {r.shape(s.inputs[0])}")
    r.emit(s, "reduce", s.inputs[:1], {"function": _SOURCES[s.kind], "axes": chosen, "keep": keep})


READS = dict.fromkeys(_SOURCES, _read)


def write(node: Node, operands: Operands) -> Written:
    kind = next(k for k, function in _SOURCES.items() if function == node.attrs["function"])
    return Written(kind, (node.inputs[0], numbers(node.attrs["axes"])), {"keepdims": int(node.attrs["keep"])})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, axes = inputs[0], node.attrs["axes"]
    assert x is not None
    kept = [1 if i in axes else d for i, d in enumerate(x.shape) if node.attrs["keep"] or i not in axes]
    return [(tuple(kept), x.format if x.quant is None else "float32")]


def compute(node: Node, x: Array) -> Array:
    y = np.asarray(FUNCTIONS[node.attrs["function"]](x, node.attrs["axes"], keepdims=node.attrs["keep"]))
    return y.astype(x.dtype)


def terms(node: Node, shape: Shape) -> int:
    """How many numbers become one."""
    return prod(shape[a] for a in node.attrs["axes"])


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    parameters = _requantization(step)
    if parameters is None:
        return target.quantize(compute(step.node, source.quant.dequantize(x)))
    total = (x.astype(np.int64) - source.quant.zero_point).sum(step.node.attrs["axes"], keepdims=step.node.attrs["keep"])
    zero, low, high = int(target.zero_point), int(target.qmin), int(target.qmax)
    return np.asarray(arithmetic_of(step).requantize(wrap32(total), parameters, zero, low, high)).astype(target.format.dtype)


def _requantization(step: Step) -> tuple[Any, ...] | None:
    """The arithmetic's parameters for the sum, None for what it computes in real numbers."""
    source, target, arithmetic = step.inputs[0], step.outputs[0].quant, arithmetic_of(step)
    assert source is not None and source.quant is not None and target is not None
    function, count = step.node.attrs["function"], terms(step.node, source.shape)
    if function not in ("mean", "sum") or hasattr(arithmetic, "REAL"):
        return None
    one: Any = np.ones((), np.float32)
    if function == "sum":
        return tuple(arithmetic.parameters(source.quant.scale, one, target.scale))
    if hasattr(arithmetic, "mean_parameters"):
        return tuple(arithmetic.mean_parameters(source.quant, target, count))
    scale = getattr(arithmetic, "average_scale", _default.average_scale)(source.quant, target, count)
    return tuple(arithmetic.parameters(scale, one, one))


def kernel(step: Step, desk: Desk) -> bool:
    """Sums over any axes, requantized."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None and x.quant is not None and y.quant is not None
    parameters = _requantization(step)
    if parameters is None:
        return False
    source, target, axes = desk.place(x), desk.place(y), list(step.node.attrs["axes"])
    rest = [a for a in range(len(x.shape)) if a not in axes]
    places = source.positions().transpose([*rest, *axes]).reshape(y.elements, -1).astype(np.int64)
    starts = np.stack([places[:, 0], target.positions().ravel()], 1)
    low, high = int(y.quant.qmin), int(y.quant.qmax)
    e = Epilogue(arithmetic_of(step), np.zeros(1), tuple(np.reshape(p, 1) for p in parameters), int(y.quant.zero_point), low, high, False)
    way, args = way_out(desk, e, target.kind, target.bias, 1)
    args |= {"x": source.offset, "y": target.offset, "outputs": len(places), "terms": places.shape[1]}
    args |= {"starts": desk.keep(starts.astype(np.int64)), "offsets": desk.keep(places[0] - places[0, 0])}
    args["x_zero"] = int(x.quant.zero_point) - source.bias
    desk.call_named(Kernel(integers.reduce, (source.kind, way)), integers.REDUCE_ARGS, args)
    return True


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    assert inputs[0] is not None
    return {"add": inputs[0].elements}
