"""QONNX, the dialect of quantized ONNX in which any width, rounding and set of levels can be said.

Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022; every formula is that of the `qonnx`
package, in float32.  A quantizer of QONNX takes and gives real numbers: it is read as `quantize` and `dequantize`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import SourceNode
from hwsim.ops._reading import Reader, Reading, choice
from hwsim.quant import Array, QuantParams

__all__ = ["MIRRORED", "ROUNDINGS", "emit_stored", "integer_range", "narrowest", "quantize_real", "quantizer_params", "reads_of", "whole"]

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
MOST_BITS = 32
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}
MIRRORED = {"CEIL": "FLOOR", "FLOOR": "CEIL"}


def reads_of(**readings: Reading) -> dict[str, Reading]:
    """Readings of QONNX operators in each of the domains under which tools have written them."""
    return {f"{domain}.{op}": read for domain in DOMAINS for op, read in readings.items()}


def rounding_of(s: SourceNode, default: str = "ROUND") -> str:
    """The rounding mode, which may be written in small letters."""
    word = str(s.attrs.get("rounding_mode", default)).upper()
    return choice(
        SourceNode(s.kind, s.name, s.inputs, s.outputs, {"rounding_mode": word}, s.opset), "rounding_mode", (*ROUNDINGS,), default
    )


def whole(s: SourceNode, r: Reader, index: int, what: str) -> int:
    """The one whole number of input `index`."""
    value = r.number(s, index, what)
    if value != np.rint(value):
        raise HwsimError(s.where, f"{what} must be a whole number", value)
    return int(value)


def bit_width(s: SourceNode, r: Reader, index: int) -> int:
    bits = whole(s, r, index, "the bit width")
    if not 1 <= bits <= MOST_BITS:
        raise HwsimError(s.where, f"the bit width must be 1 to {MOST_BITS}", bits)
    return bits


def integer_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the greatest stored number (qonnx int_quant: min_int, max_int)."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def narrowest(low: int, high: int) -> str:
    """The name of the narrowest integer format that holds a range."""
    kind = "int" if low < 0 else "uint"
    held = (formats.get(f"{kind}{b}") for b in range(2 if low < 0 else 1, 65))
    return next(f.name for f in held if f.low <= low and high <= f.high)


def channel_axis(s: SourceNode, shape: tuple[int, ...], scale: Array) -> int | None:
    """The axis over which a broadcast scale runs, None for a single one."""
    aligned = (1,) * (len(shape) - scale.ndim) + scale.shape
    axes = [i for i, n in enumerate(aligned) if n != 1]
    if not axes:
        return None
    if len(axes) > 1 or len(aligned) > len(shape) or aligned[axes[0]] != shape[axes[0]]:
        raise HwsimError(s.where, f"the scale must be one number, or one per channel of {shape}", f"shape {scale.shape}")
    return axes[0]


def quantizer_params(s: SourceNode, r: Reader, zero_point: int | None, low: int, high: int, fmt: str = "") -> tuple[QuantParams, bool]:
    """QuantParams of input 0 from a scale (input 1) and zero point that broadcast, and whether negative scales mirrored the range.

    A negative scale is the positive one with the stored numbers negated.
    """
    x, scale = r.tensors[s.inputs[0]], r.need(s, 1, "the scale").astype(np.float32)
    zeros = np.zeros((), np.float32) if zero_point is None else r.need(s, zero_point, "the zero point").astype(np.float32)
    if not np.isfinite(scale).all() or (scale == 0).any():
        raise HwsimError(s.where, "the scale must be finite and not 0", f"{scale[~np.isfinite(scale) | (scale == 0)].ravel()[0]}")
    if not (zeros == np.rint(zeros)).all():
        raise HwsimError(s.where, "the zero point must be whole", f"{zeros[zeros != np.rint(zeros)].ravel()[0]}")
    scale, zeros = np.broadcast_arrays(scale, zeros)
    axis = channel_axis(s, x.shape, scale)
    shape = () if axis is None else (-1,)
    scale, zeros = scale.reshape(shape), zeros.reshape(shape).astype(np.int64)
    mirrored = bool((scale < 0).all())
    if not mirrored and (scale < 0).any() and (low != -high or zeros.any()):
        raise HwsimError(s.where, "scales of both signs need a symmetric range", f"{low} to {high}")
    if mirrored:
        low, high, zeros = -high, -low, -zeros
    held = (min(low, int(zeros.min())), max(high, int(zeros.max())))  # a convolution pads with the zero point
    chosen = formats.get(fmt or narrowest(*held))
    return QuantParams(chosen, np.abs(scale), zeros, axis, 0, low, high), mirrored


def emit_stored(s: SourceNode, r: Reader, op: str, quant: QuantParams, attrs: dict[str, Any]) -> None:
    """A node with a stored output, and the dequantize behind it that gives the real numbers which QONNX has there."""
    stored = r.fresh(f"{s.outputs[0]}.stored")
    r.emit(s, op, s.inputs[:1], attrs, [stored], [quant])
    back = {"format": "float32", "axis": quant.axis or 0, "block": 0, "stored": quant.format.name}
    r.emit(s, "dequantize", (stored,), back, s.outputs, (), f"{s.name}.dequantize")


def read_quant(s: SourceNode, r: Reader) -> None:
    """Quant, also named IntQuant: clamp(x / scale + zero_point) and then round; one signed bit is bipolar (as `qonnx` has it).

    In a file that was written for another runtime's arithmetic the zero point is added to the rounded number, as that runtime does.
    """
    signed, narrow = bool(s.attrs.get("signed", 1)), bool(s.attrs.get("narrow", 1))
    bits, mode = bit_width(s, r, 3), rounding_of(s)
    if signed and bits == 1:
        _emit_bipolar(s, r, 2)
        return
    quant, mirrored = quantizer_params(s, r, 2, *integer_range(bits, signed, narrow))
    mode = MIRRORED.get(mode, mode) if mirrored else mode
    attrs = {"format": quant.format.name, "axis": quant.axis or 0, "block": 0}
    as_onnx = ROUNDINGS[mode] is np.rint and not (quant.has_zero_point and r.arithmetic == "qonnx")
    emit_stored(s, r, "quantize", quant, attrs if as_onnx else {**attrs, "rounding": mode})


def read_bipolar(s: SourceNode, r: Reader) -> None:
    """BipolarQuant: scale where x is at least 0, else -scale."""
    _emit_bipolar(s, r, None)


def _emit_bipolar(s: SourceNode, r: Reader, zero_point: int | None) -> None:
    quant, mirrored = quantizer_params(s, r, zero_point, -1, 1, "bipolar")
    if mirrored or quant.has_zero_point:
        raise HwsimError(s.where, "a bipolar quantizer must have a positive scale and no zero point")
    emit_stored(s, r, "quantize", quant, {"format": "bipolar", "axis": quant.axis or 0, "block": 0})


def quantize_real(x: Array, target: QuantParams, mode: str) -> Array:
    """Stored numbers of real ones with a rounding mode of QONNX; the zero point is added before clamping and rounding."""
    v = x.astype(np.float32) / target.spread(target.scale, x.shape).astype(np.float32)
    v = v + target.spread(target.zero_point, x.shape).astype(np.float32)
    return ROUNDINGS[mode](np.clip(v, np.float32(target.qmin), np.float32(target.qmax))).astype(target.format.dtype)
