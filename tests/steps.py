"""Single steps made by hand, for tests that know the stored numbers and not a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Constant, Graph, Node, SourceGraph, Tensor
from hwsim.program import Accumulator, Layer, Program, Step
from hwsim.quant import Array, QuantParams

ENGINES = ("reference", "numba")


def quant(
    fmt: str, scale: Any = 1.0, zero: Any = 0, axis: int | None = None, low: int | None = None, high: int | None = None
) -> QuantParams:
    """Quantization with the scale kept in the precision given (float32 or float64)."""
    scales = np.asarray(scale)
    found = QuantParams(formats.get(fmt), scales, np.broadcast_to(np.asarray(zero, np.int64), scales.shape).copy(), axis)
    return found if low is None or high is None else replace(found, qmin=low, qmax=high)


def stored(name: str, array: Array, q: QuantParams, constant: bool = False) -> Tensor:
    return Tensor(name, array.shape, q.format.name, q, Constant.of(array, name) if constant else None)


def step_program(
    op: str,
    inputs: list[tuple[Tensor | None, Array | None]],
    output: tuple[tuple[int, ...], QuantParams | None],
    attrs: dict[str, Any],
    arithmetic: str = "onnxruntime",
    accumulator: Accumulator | None = None,
) -> tuple[Program, dict[str, Array]]:
    """A program of one step and what to feed it.  `inputs` pair tensors with arrays; constants need no array."""
    shape, q = output
    y = Tensor("y", shape, q.format.name if q else "float32", q)
    tensors = [t for t, _ in inputs]
    node = Node("step", op, tuple(t.name if t else "" for t in tensors), ("y",), attrs, op)
    named = {t.name: t for t in (*tensors, y) if t is not None}
    fed = {t.name: np.asarray(a) for t, a in inputs if t is not None and t.constant is None}
    source = SourceGraph("step", (), {}, tuple(fed), ("y",), "0" * 64)
    graph = Graph("step", (node,), named, tuple(fed), ("y",), source)
    step = Step(node, tuple(tensors), (y,), True, arithmetic, accumulator or Accumulator())
    return Program(graph, "", (Layer("step", (step,)),), named), fed


def conv_attrs(
    kernel: tuple[int, ...],
    strides: tuple[int, ...] = (1, 1),
    before: tuple[int, ...] = (0, 0),
    after: tuple[int, ...] = (0, 0),
    dilations: tuple[int, ...] = (1, 1),
    group: int = 1,
) -> dict[str, Any]:
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "before": before, "after": after, "group": group}
