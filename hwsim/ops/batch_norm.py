"""Batch normalization with the stored statistics (inference): gamma (x - mean) / sqrt(variance + epsilon) + beta."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import reals
from hwsim.ops._lowering import Desk, real_constant
from hwsim.ops._reading import Reader, check_shape
from hwsim.ops._writing import writes
from hwsim.program import Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    if s.attrs.get("training_mode", 0):
        raise HwsimError(s.where, "must be in inference mode", "training_mode=1")
    channels = r.ranked(s, 0, 2)[1]
    for i, what in enumerate(("the scale", "the shift", "the mean", "the variance"), 1):
        check_shape(s, r, i, (channels,), what)
    r.emit(s, "batch_norm", s.inputs, {"epsilon": float(s.attrs.get("epsilon", 1e-5))}, s.outputs[:1])


READS = {"BatchNormalization": _read}


write = writes("BatchNormalization", "epsilon")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, inputs[0].format)]


def scale_and_shift(node: Node, gamma: Array, beta: Array, mean: Array, variance: Array) -> tuple[Array, Array]:
    """The equal affine map per channel, in float64: y = scale x + shift."""
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + node.attrs["epsilon"])
    return scale, beta - mean * scale


def compute(node: Node, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
    centre, factor, shift = _parts(node, x.ndim, gamma, beta, mean, variance)
    return ((x - centre) * factor + shift).astype(x.dtype)


def _parts(node: Node, rank: int, gamma: Array, beta: Array, mean: Array, variance: Array) -> list[Array]:
    """What is taken away from each channel, by what it is multiplied, and what is added."""
    inverse = 1 / np.sqrt(variance + np.float32(node.attrs["epsilon"]))
    return [v.reshape(-1, *[1] * (rank - 2)) for v in (mean, inverse * gamma, beta)]


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"batch_norm": outputs[0].elements}


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers with constant parameters."""
    x, *rest = step.inputs
    known = [real_constant(t) for t in rest if t is not None and t.constant is not None]
    if x is None or len(known) < 4:
        return False
    y = step.outputs[0]
    parts = [desk.numbers(v) for v in _parts(step.node, len(x.shape), *known)]
    return desk.walk(reals.affine, y.shape, [desk.real(x), *parts], desk.operand(desk.place(y)))
