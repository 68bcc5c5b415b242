"""Convolutions and matrix products of float32 numbers as calls of the micro-kernel, with sums as `_real_sums` defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwsim.graph import Tensor
from hwsim.kernels import moving
from hwsim.kernels.real_dots import CHANNELS, ONCE, REALS
from hwsim.ops._lowering import Desk, Place, real_constant
from hwsim.ops._mac import Epilogue
from hwsim.ops._mac_plan import Axis, Mac, plane_of
from hwsim.ops._route_tiles import emit_tiles
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["RealMac", "are_real", "emit_real_conv", "emit_real_tiles", "known", "real_epilogue", "widened"]

FEW = 2  # pixels that are always in one tile
SPILL = 256  # bytes: the most that vectors of channels read behind the last one


def are_real(tensors: Sequence[Tensor | None]) -> bool:
    """Whether they are float32 numbers: as they are, or stored constants."""
    return all(t is None or t.format == "float32" or (t.constant is not None and t.quant is not None) for t in tensors)


def known(tensor: Tensor | None) -> Array | None:
    """The real numbers of a constant, None of any other."""
    return None if tensor is None or tensor.constant is None else real_constant(tensor)


@dataclass(frozen=True, eq=False)
class RealMac(Mac):
    """One convolution of real numbers; its sums times `factor` plus `bias`, both rounded, are the output."""

    bias: Array
    factor: float = 1.0

    @cached_property
    def epilogue(self) -> Epilogue:
        return real_epilogue(self.groups * self.outputs, self.bias, self.factor)

    @cached_property
    def x_zero(self) -> int:
        return 0


def real_epilogue(outputs: int, bias: Array, factor: float) -> Epilogue:
    """Sums times `factor` plus `bias`, both rounded."""
    shift = np.broadcast_to(bias, outputs) + np.float32(0)  # which makes a zero positive
    return Epilogue(None, np.zeros(outputs), (np.full(outputs, factor, np.float32), shift), 0, 0, 0, True)


def emit_real_conv(step: Step, desk: Desk, weights: Array, axes: tuple[Axis, Axis], halo: tuple[tuple[int, int], ...]) -> bool:
    """A convolution with known weights (groups, outputs, kernel rows, columns, channels of a group): False where the bias is computed."""
    x, y = step.inputs[0], step.outputs[0]
    given = step.inputs[2] if len(step.inputs) > 2 else None
    bias = np.zeros((), np.float32) if given is None else known(given)
    assert x is not None
    if bias is None:
        return False
    groups, outputs, channels = len(weights), weights.shape[1], weights.shape[-1]
    source, target = desk.place(x), plane_of(desk.place(y))
    if groups > 1 and channels == 1:
        own = _spread(desk, source, outputs, halo)
        desk.work(SPILL)
        flat = weights.reshape(1, groups * outputs, *weights.shape[2:])
        emit_tiles(RealMac(step, flat, *axes, plane_of(own), target, bias), desk, CHANNELS, flat)
    else:
        emit_real_tiles(RealMac(step, weights, *axes, plane_of(widened(desk, source, halo)), target, bias), desk)
    return True


def emit_real_tiles(mac: RealMac, desk: Desk) -> None:
    """The micro-kernel on an input that is `widened`."""
    emit_tiles(mac, desk, ONCE if mac.y.rows * mac.y.columns <= FEW else REALS, mac.weights)


def widened(desk: Desk, source: Place, halo: tuple[tuple[int, int], ...] = (), order: tuple[int, ...] | None = None) -> Place:
    """A tensor in float64, with a halo of zeros, in its own or another order of axes, in scratch memory."""
    copied = _room(desk, replace(source, kind="f64", halo=halo, order=source.order if order is None else order))
    desk.reorder(source, copied)
    return copied


def _room(desk: Desk, wanted: Place) -> Place:
    """Scratch memory for a tensor, its halo filled with zeros."""
    place = wanted.at(desk.work(wanted.bytes))
    if any(map(any, place.halo)):
        desk.surround(place, 0)
    return place


def _spread(desk: Desk, source: Place, times: int, halo: tuple[tuple[int, int], ...]) -> Place:
    """An image each of whose channels stands so many times, with its halo: itself where nothing is to be done."""
    if times == 1 and not any(map(any, halo)):
        return source
    n, c, *size = source.shape
    copied = _room(desk, replace(source, shape=(n, c * times, *size), halo=halo))
    sides = desk.operand(source), desk.operand(copied)
    steps = [(1, 0), (times, 1)]  # of a channel and of one that repeats it
    strides = [(o.strides[0], *(o.strides[1] * s for s in own), *o.strides[2:]) for o, own in zip(sides, steps, strict=True)]
    x, y = (o.reshaped((n, c, times, *size), st) for o, st in zip(sides, strides, strict=True))
    assert desk.walk(moving.copy, x.shape, [x], y)
    return copied
