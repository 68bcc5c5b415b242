"""Products of {-1, +1} and of {-1, 0, +1} as comparisons of bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.amx import DEPTH
from hwsim.kernels.bit_planes import PLANE_ARGS, bit_planes
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.dots import Dot
from hwsim.kernels.lowbits import BINARY, TERNARY
from hwsim.kernels.memory import Memory
from hwsim.kernels.packing import packed
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_amx import emit_amx, fills
from hwsim.ops._route_tiles import emit_tiles
from hwsim.quant import Array

__all__ = ["bits"]

FEWEST = 32  # channels from which comparing words of bits is faster than multiplying bytes


def bits(mac: Mac, desk: Desk) -> bool:
    """The route: both operands have one or two bits, one group, sums that no accumulator cuts.

    Without zeros among the activations, those of the halo included, two bits of sign are compared; else non-zeros are counted too.
    """
    x = mac.step.inputs[0]
    assert x is not None and x.quant is not None
    a, q, w = mac.step.accumulator, x.quant, mac.removed
    small = q.bits <= 2 and q.qmin >= -1 and q.qmax <= 1 and mac.x_zero == 0 and mac.within(-1, 1)
    if not small or mac.groups > 1 or w.shape[-1] < FEWEST or mac.x.kind != "u8":
        return False
    if a.every == "pair" or not mac.exact_in(min(a.bits, 32)):
        return False
    reached = [
        axis.halo(size, out) for axis, size, out in ((mac.rows, mac.x.rows, mac.y.rows), (mac.columns, mac.x.columns, mac.y.columns))
    ]
    binary = x.format == "bipolar" and bool((w != 0).all()) and not np.any(reached) and len(mac.phases()) == 1
    depth = int(np.prod(w.shape[2:]))
    if fills(mac):
        emit_amx(mac, desk, w, 1 if bool((w != 0).all()) and depth % DEPTH == 0 else 2)
        return True
    if binary:
        emit_tiles(planes(mac, desk, False), desk, BINARY, words(w, False), offset=depth)
    else:
        emit_tiles(planes(mac, desk, True), desk, TERNARY, words(w, True), by_plane)
    return True


def by_plane(weights: Array, dot: Dot, vectors: int, memory: Memory) -> Array:
    """Packed words with the non-zeros of a vector of outputs before their signs."""
    held = packed(weights, dot, vectors, memory)
    pairs = held.reshape(-1, host.lanes(), 2)
    pairs[...] = np.swapaxes(pairs, 1, 2).reshape(pairs.shape).copy()
    return held


def planes(mac: Mac, desk: Desk, ternary: bool) -> Mac:
    """The product with its input as words of bits, halo included, in scratch memory."""
    x = mac.x
    column = -(-x.channels // 64) * (16 if ternary else 8)
    above, left = (x.offset - x.start) // x.row, (x.offset - x.start) % x.row // x.column
    rows, columns = x.image // x.row, x.row // x.column
    y = desk.work(x.images * rows * columns * column + 64)
    args = {
        "x": x.start,
        "x_image": x.image,
        "x_row": x.row,
        "x_column": x.column,
        "y": y,
        "y_column": column,
        "images": x.images,
        "rows": rows,
        "columns": columns,
        "channels": x.channels,
        "zero": -x.bias,
    }
    desk.call_named(Kernel(bit_planes, (ternary,)), PLANE_ARGS, args)
    strides = {"image": rows * columns * column, "row": columns * column, "column": column}
    plane = replace(x, offset=y + above * strides["row"] + left * column, kind="i32", bias=0, start=y, **strides)
    return replace(mac, x=plane)


def words(w: Array, ternary: bool) -> Array:
    """Weights (..., channels) as words (..., words) of signs, or of non-zeros and signs in turn."""
    full = np.zeros((*w.shape[:-1], -(-w.shape[-1] // 64) * 64), np.int8)
    full[..., : w.shape[-1]] = w
    packed = [np.packbits(b, axis=-1, bitorder="little").view(np.int32) for b in ((full != 0, full < 0) if ternary else (full < 0,))]
    return np.stack(packed, -1).reshape(*w.shape[:-1], -1)
