"""SVDF, one step of a layer whose filters are a product of a vector over features and one over time, with a state of past steps.

Nakkiran et al., "Compressing Deep Neural Networks using a Rank-Constrained Topology", Interspeech 2015, as TFLite has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import host
from hwsim.kernels import svdf as kernels
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import ALIGN, WIDTHS, Desk
from hwsim.ops._reading import Reader
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array, QuantParams


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
    own, (xq, fq, tq, bq, sq, yq) = getattr(arithmetic_of(step), "svdf", None), _quants(step)
    if own is None:
        reals = [q.dequantize(v) for q, v in zip((xq, fq, tq, bq, sq), (x, features, time, bias, state), strict=True)]
        y, held = compute(step.node, *reals)
        return yq.quantize(y), sq.quantize(held)
    held = _shifted(state.astype(np.int64), len(x), len(features))
    held[:, :, -1] = _on_grid(own(xq, fq, sq), (x.astype(np.int64) - xq.zero_point) @ features.T.astype(np.int64), sq)
    sums = (held * time).sum(2).reshape(len(x), -1, step.node.attrs["rank"]).sum(2) + bias
    return _on_grid(own(sq, tq, yq), sums, yq), held.reshape(len(x), -1)


def _quants(step: Step) -> list[QuantParams]:
    """Of x, features, time, bias, state and y."""
    return [t.quant for t in (*step.inputs, step.outputs[0]) if t is not None and t.quant is not None]


def _on_grid(own: tuple[Any, Any], sums: Array, y: QuantParams) -> Array:
    parameters, function = own
    return np.clip(function(sums, parameters) + int(y.zero_point), int(y.qmin), int(y.qmax))


def kernel(step: Step, desk: Desk) -> bool:
    """The arithmetic's own integers, with constant weights."""
    own, (x, features, time, bias, state), y = getattr(arithmetic_of(step), "svdf", None), step.inputs, step.outputs[0]
    constants = [t.constant.array.astype(np.int64) for t in (features, time, bias) if t is not None and t.constant is not None]
    if own is None or x is None or state is None or len(constants) < 3:
        return False
    xq, fq, tq, _, sq, yq = _quants(step)
    source, target, before, (filters, steps) = desk.row_major(x), desk.row_major(y), desk.source(state), constants[1].shape
    (newest, scaled), (summed, _) = own(xq, fq, sq), own(sq, tq, yq)
    args = {"x": source.offset, "y": target.offset, "batch": x.shape[0], "size": x.shape[1], "filters": filters, "steps": steps}
    args |= {"units": y.shape[1], **_grid("state_", newest, sq, before.bias), **_grid("time_", summed, yq, target.bias)}
    args |= {"state": before.address, "state_absolute": before.base, "state_batch": before.strides_to((x.shape[0], 1))[0]}
    after, size = step.outputs[1:], x.shape[0] * filters * steps * WIDTHS[before.kind]
    args |= {"held": desk.row_major(after[0]).offset if after else desk.work(size)}
    args |= {"row": desk.work(2 * (x.shape[1] + ALIGN)), "column": desk.work(4 * (filters + kernels.PANEL * ALIGN))}
    args |= _packed(desk, constants, source.bias - int(xq.zero_point), y.shape[1])
    desk.reorder(desk.place(x), source)
    desk.call_named(Kernel(kernels.svdf, (source.kind, before.kind, target.kind, scaled)), kernels.SVDF_ARGS, args)
    desk.reorder(target, desk.place(y))
    return True


def _grid(of: str, multiplier: tuple[float, float], q: QuantParams, bias: int) -> dict[str, int]:
    """How sums get to a grid, which memory holds less a bias."""
    held: dict[str, Any] = {"m": multiplier[0], "e": multiplier[1], "zero": q.zero_point, "low": q.qmin, "high": q.qmax, "bias": bias}
    return {of + n: int(v) for n, v in held.items()}


def _packed(desk: Desk, constants: list[Array], zero: int, units: int) -> dict[str, int]:
    """Weights over features and over time in whole panels and vectors, filled with zeros, and the bias."""
    features, time, bias = constants
    lanes, width = host.lanes(), kernels.PANEL * host.lanes()
    across, rows = -len(features) % width, time.reshape(units, -1)
    full = np.pad(features, ((0, across), (0, features.shape[1] % 2)))
    pairs = full.reshape(-1, width, full.shape[1] // 2, 2).swapaxes(1, 2)
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % (2 * lanes))))
    found = {n: desk.keep(v.astype(np.int16)) for n, v in (("features", pairs), ("time", words))}
    start = np.pad(zero * features.sum(1), (0, across))
    found |= {n: desk.keep(v.astype(np.int32)) for n, v in (("start", start), ("added", bias))}
    return {**found, "unit_words": words.shape[1]}


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """One product and sum per weight and image."""
    weights = sum(t.elements for t in inputs[1:3] if t is not None) * outputs[0].shape[0]
    return {"mul": weights, "add": weights}
