"""What convolutions and matrix products share: exact accumulation, bias, and the way out of the accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.arithmetics._rounding import wrap32
from hwsim.ops._regrid import stored
from hwsim.program import Accumulator, Step
from hwsim.quant import Array, QuantParams

__all__ = ["Epilogue", "accumulate", "bias_in_accumulator", "bounds", "epilogue", "exact_matmul", "finish"]

EXACT_FLOAT64 = 2.0**53


def exact_matmul(a: Array, b: Array) -> Array:
    """The int64 product of integer matrices (..., M, K) and (..., K, N), through float64 BLAS while no sum can reach 2^53."""
    largest = float(np.abs(a).max(initial=0)) * float(np.abs(b).max(initial=0)) * a.shape[-1]
    if largest < EXACT_FLOAT64:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a.astype(np.int64) @ b.astype(np.int64)


def accumulate(x: Array, w: Array, bias: Array, x_zero: int, w_zero: Array, accumulator: Accumulator) -> tuple[Array, int]:
    """Sums of products of stored numbers, with the accumulator's width and overflow.

    x is (M, K), w is (N, K), bias is (N,) and w_zero () or (N,).  Returns the sums (M, N) in int64 and how many of them
    overflowed: left the accumulator's range in a way that changed them.
    """
    x, w = x.astype(np.int64), w.astype(np.int64)
    w_zero = np.broadcast_to(w_zero, len(w)).astype(np.int64)
    if accumulator.zero_points == "subtracted":
        x, w = x - x_zero, w - w_zero[:, None]
        start, late = bias, np.zeros((1, 1), np.int64)
    else:
        start = bias + x_zero * (x.shape[1] * w_zero - w.sum(1))
        late = -x.sum(1, keepdims=True) * w_zero if w_zero.any() else np.zeros((1, 1), np.int64)
    if accumulator.any_order:
        total = exact_matmul(x, w.T) + start + late
        return _cut(total, accumulator), int(((total < accumulator.low) | (total > accumulator.high)).sum())
    return _stepwise(x, w, start, late, accumulator)


def _cut(total: Array, accumulator: Accumulator) -> Array:
    if accumulator.overflow == "saturate":
        return np.clip(total, accumulator.low, accumulator.high)
    if accumulator.bits == 64:
        return total
    return ((total - accumulator.low) & ((1 << accumulator.bits) - 1)) + accumulator.low


def _stepwise(x: Array, w: Array, start: Array, late: Array, accumulator: Accumulator) -> tuple[Array, int]:
    """One partial sum after the other, each cut to the accumulator."""
    size = {"mac": 1, "pair": 2, "tile": accumulator.tile}[accumulator.every]
    start = np.broadcast_to(start, (len(x), len(w))).astype(np.int64)
    total = _cut(start, accumulator)
    overflowed = total != start
    for k in range(0, x.shape[1], size):
        part = exact_matmul(x[:, k : k + size], w[:, k : k + size].T)
        if accumulator.every == "pair":
            overflowed |= (part < -32768) | (part > 32767)
            part = np.clip(part, -32768, 32767)
        total, before = _cut(total + part, accumulator), total + part
        overflowed |= total != before
    total, before = _cut(total + late, accumulator), total + late
    return total, int((overflowed | (total != before)).sum())


def bounds(step: Step) -> tuple[int, int]:
    """The stored range of the output: the quantizer's, narrowed by a fused clip (`attrs["clip"]`, in real numbers)."""
    y = step.outputs[0].quant
    assert y is not None, "bounds are of a quantized output"
    low, high = int(y.qmin), int(y.qmax)
    clip = step.node.attrs.get("clip")
    if clip is not None:
        ends = stored(step, np.where(np.isfinite(clip), clip, 0).astype(np.float32), y)
        low, high = (int(v) if np.isfinite(real) else end for v, real, end in zip(ends, clip, (low, high), strict=True))
    return low, high


@dataclass(frozen=True)
class Epilogue:
    """All that happens behind the accumulator of one step, as arrays per output channel ready for either executor.

    `bias` is added in the accumulator; `parameters` are what the arithmetic's `requantize` takes, or (scale, bias) in float32
    when the output stays real.
    """

    arithmetic: Any
    bias: Array
    parameters: tuple[Array, ...]
    zero_point: int
    low: int
    high: int
    real: bool


def epilogue(step: Step, channels: int) -> Epilogue:
    """The epilogue of a MAC step with this many output channels.  Inputs are x, w and optionally the bias, in that order."""
    x, w = (t.quant for t in step.inputs[:2] if t is not None)
    y = step.outputs[0].quant
    assert x is not None and w is not None, "both operands are quantized"
    arithmetic = arithmetic_of(step)
    x_scale = (np.float32(step.node.attrs.get("alpha", 1.0)) * x.scale).astype(np.float32)
    scale = (x_scale * w.scale).astype(np.float32)
    in_accumulator = arithmetic.BIAS != "float32" and (y is not None or _bias_is_stored(step))
    bias = _integer_bias(step, scale, channels) if in_accumulator else np.zeros(channels, np.int64)
    real_bias = np.zeros(channels, np.float32) if in_accumulator else _real_bias(step, channels)
    if y is None:
        return Epilogue(arithmetic, bias, (_per_channel(scale, channels), _per_channel(real_bias, channels)), 0, 0, 0, True)
    parameters = arithmetic.parameters(x_scale, w.scale, y.scale, real_bias)
    low, high = bounds(step)
    return Epilogue(arithmetic, bias, tuple(_per_channel(p, channels) for p in parameters), int(y.zero_point), low, high, False)


def _per_channel(values: Array, channels: int) -> Array:
    return np.broadcast_to(np.asarray(values, np.float64), channels)


def _bias(step: Step) -> tuple[Array, QuantParams | None] | None:
    tensor = step.inputs[2] if len(step.inputs) > 2 else None
    if tensor is None:
        return None
    assert tensor.constant is not None, "the bias of an integer step is constant"
    return tensor.constant.array, tensor.quant


def _bias_is_stored(step: Step) -> bool:
    found = _bias(step)
    return found is not None and found[1] is not None


def bias_in_accumulator(step: Step) -> bool:
    """Whether the bias is stored in units of the accumulator and added there as it is."""
    x, w = (t.quant for t in step.inputs[:2] if t is not None)
    found = _bias(step)
    if x is None or w is None or found is None or found[1] is None or arithmetic_of(step).BIAS == "float32":
        return False
    scale = np.float32(step.node.attrs.get("alpha", 1.0)) * x.scale * w.scale
    return bool(np.allclose(found[1].scale, scale, rtol=1e-5, atol=0) and not found[1].has_zero_point)


def _integer_bias(step: Step, scale: Array, channels: int) -> Array:
    """The bias in units of the accumulator: stored with its scale, or rounded half to even."""
    found = _bias(step)
    if found is None:
        return np.zeros(channels, np.int64)
    array, quant = found
    if quant is None:
        return _spread(np.rint(array.astype(np.float64) / scale).astype(np.int64), channels)
    if np.allclose(quant.scale, scale, rtol=1e-5, atol=0) and not quant.has_zero_point:
        return _spread(array.astype(np.int64), channels)
    return _spread(np.rint(quant.dequantize(array).astype(np.float64) / scale).astype(np.int64), channels)


def _real_bias(step: Step, channels: int) -> Array:
    found = _bias(step)
    if found is None:
        return np.zeros(channels, np.float32)
    array, quant = found
    return _spread((array if quant is None else quant.dequantize(array)).astype(np.float32), channels)


def _spread(array: Array, channels: int) -> Array:
    return np.broadcast_to(array.reshape(-1), channels)


def finish(step: Step, sums: Array, e: Epilogue) -> Array:
    """The output of accumulators (..., channels): stored numbers, or float32 when the step's output is real."""
    y = step.outputs[0].quant
    if e.real or y is None:
        scale, bias = (p.astype(np.float32) for p in e.parameters)
        real = (wrap32(sums) if step.accumulator.bits <= 32 else sums).astype(np.float32) * scale + bias
        clip = step.node.attrs.get("clip")
        return real if clip is None else np.clip(real, np.float32(clip[0]), np.float32(clip[1]))
    return e.arithmetic.requantize(sums, e.parameters, e.zero_point, e.low, e.high).astype(y.format.dtype)
