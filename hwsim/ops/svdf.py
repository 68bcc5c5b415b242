"""SVDF, one step of a layer whose filters are a product of a vector over features and one over time, with a state of past steps.

Nakkiran et al., "Compressing Deep Neural Networks using a Rank-Constrained Topology", Interspeech 2015, as TFLite has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    """x (batch, features), weights (filters, features) and (filters, steps), bias (units), state (batch, filters steps)."""
    (_, size), (filters, own), (same, steps) = (r.ranked(s, i, 2, 2) for i in range(3))
    rank, state = int(s.attrs["rank"]), r.ranked(s, 4, 2, 2)
    if own != size or same != filters or rank < 1 or filters % rank or state[1] != filters * steps:
        found = f"{filters} x {own}, {same} x {steps}, rank {rank} and a state of {state}"
        raise HwsimError(s.where, f"must have weights and a state that belong to {size} features", found)
    r.emit(s, "svdf", s.inputs, {"rank": rank})


READS = {"tflite.SVDF": _read}


def write(node: Node, operands: Operands) -> Written:
    raise HwsimError(node.where, "must be an operator of ONNX to be written", "SVDF")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, time, state = inputs[0], inputs[2], inputs[4]
    assert x is not None and time is not None and state is not None
    return [((x.shape[0], time.shape[0] // node.attrs["rank"]), x.format), ((x.shape[0], state.shape[1]), state.format)]


def _shifted(state: Array, batch: int, filters: int) -> Array:
    """The state (batch, filters, steps) one step later, its last column still to be written."""
    past = np.broadcast_to(state, (batch, state.shape[1])).reshape(batch, filters, -1)
    return np.concatenate([past[:, :, 1:], past[:, :, -1:]], 2)


def compute(node: Node, x: Array, features: Array, time: Array, bias: Array, state: Array) -> tuple[Array, Array]:
    held = _shifted(state, len(x), len(features))
    held[:, :, -1] = x @ features.T
    y = (held * time).sum(2).reshape(len(x), -1, node.attrs["rank"]).sum(2) + bias
    return y, held.reshape(len(x), -1)


def integer(step: Step, x: Array, features: Array, time: Array, bias: Array, state: Array) -> tuple[Array, Array]:
    quants = [t.quant for t in (*step.inputs, step.outputs[0]) if t is not None]
    own = getattr(arithmetic_of(step), "svdf", None)
    xq, fq, tq, bq, sq, yq = quants
    assert xq and fq and tq and bq and sq and yq
    if own is None:
        reals = [q.dequantize(v) for q, v in zip((xq, fq, tq, bq, sq), (x, features, time, bias, state), strict=True)]
        y, held = compute(step.node, *reals)
        return yq.quantize(y), sq.quantize(held)
    held = _shifted(state.astype(np.int64), len(x), len(features))
    held[:, :, -1] = own((x.astype(np.int64) - xq.zero_point) @ features.T.astype(np.int64), xq, fq, sq)
    sums = (held * time).sum(2).reshape(len(x), -1, step.node.attrs["rank"]).sum(2) + bias
    return own(sums, sq, tq, yq), held.reshape(len(x), -1)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """One product and sum per weight and image."""
    weights = sum(t.elements for t in inputs[1:3] if t is not None) * outputs[0].shape[0]
    return {"mul": weights, "add": weights}
