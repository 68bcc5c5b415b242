"""Stored numbers made real by a kernel."""

from __future__ import annotations

from dataclasses import replace

from hwsim.graph import Tensor
from hwsim.kernels import moving
from hwsim.ops._lowering import Desk, Place, Source, float_bits

__all__ = ["dequantized", "emit_dequantize"]


def emit_dequantize(desk: Desk, x: Tensor, target: Source) -> bool:
    """float32(q - zero point) scale: False where there are several scales, and where int32 may not hold the difference."""
    source, q = desk.place(x), x.quant
    if q is None or q.granularity != "per_tensor" or not q.format.is_integer:
        return False
    if source.kind not in ("u8", "i16") and (source.kind != "i32" or int(q.zero_point) or not q.format.is_signed):
        return False
    args = {"zero": int(q.zero_point) - source.bias, "scale": float_bits(q.scale)}
    return desk.walk(moving.dequantize, x.shape, [desk.operand(source)], target, **args)


def dequantized(desk: Desk, x: Tensor) -> Place | None:
    """A stored tensor as float32 numbers in scratch memory; None where `emit_dequantize` does not make them."""
    own = desk.place(x)
    place = replace(own, kind="f32", bias=0, halo=())
    place = replace(place, offset=desk.work(place.bytes))
    return place if emit_dequantize(desk, x, desk.operand(place)) else None
