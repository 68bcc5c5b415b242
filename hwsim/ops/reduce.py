"""Reductions over axes: mean, sum, max, min, product and norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axes_of
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


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, axes = inputs[0], node.attrs["axes"]
    assert x is not None
    kept = [1 if i in axes else d for i, d in enumerate(x.shape) if node.attrs["keep"] or i not in axes]
    return [(tuple(kept), x.format if x.quant is None else "float32")]


def compute(node: Node, x: Array) -> Array:
    y = np.asarray(FUNCTIONS[node.attrs["function"]](x, node.attrs["axes"], keepdims=node.attrs["keep"]))
    return y.astype(x.dtype)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    assert inputs[0] is not None
    return {"add": inputs[0].elements}
