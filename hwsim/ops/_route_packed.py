"""Weights of four and of two bits, kept packed: memory traffic falls with the width."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.dots import U8S8, Dot, best
from hwsim.kernels.lowbits import ALONE, FLIPPED, PACKED
from hwsim.kernels.memory import Memory
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_amx import emit_amx, fills
from hwsim.ops._route_tiles import emit_tiles
from hwsim.quant import Array

__all__ = ["packed"]

MANY = 40  # pixels from which weights are made bytes once, instead of in registers for each tile


def packed(mac: Mac, desk: Desk) -> bool:
    """The route: 8-bit activations by weights that fit into two or four bits, sums that no accumulator cuts.

    Sums are kept 2^(8 - bits) times too large, which must not leave 32 bits either.
    """
    a, w = mac.step.accumulator, mac.removed
    bits = next((b for b in (2, 4) if mac.within(-(1 << (b - 1)), (1 << (b - 1)) - 1)), 0)
    as_written = a.every != "pair" and (a.zero_points == "subtracted" or not mac.w_zero.any())
    if not bits or mac.x.kind != "u8" or best() is not U8S8 or not (a.any_order or as_written):
        return False
    if not mac.exact_in(min(a.bits, 32)) or not mac.exact_in(24 + bits):
        return False
    if fills(mac):
        emit_amx(mac, desk, w, bits)
        return True
    pixels = max(rows.count * columns.count for rows, columns in mac.phases())
    if pixels >= MANY:
        emit_tiles(mac, desk, U8S8, w, bits=bits)
    else:
        emit_tiles(mac, desk, *((ALONE[bits], w, flipped) if pixels == 1 else (PACKED[bits], w, fields)))
    return True


def fields(weights: Array, dot: Dot, vectors: int, memory: Memory) -> Array:
    """Weights (outputs, runs, depth) as [panel][run][step][vector and lane][4 bytes], each byte 8 / bits weights, lowest first."""
    width, bits = vectors * host.lanes(), 32 // dot.channels
    outputs, runs, depth = weights.shape
    panels, steps = -(-outputs // width), -(-depth // dot.channels)
    full = np.zeros((panels * width, runs, steps * dot.channels), np.uint8)
    full[:outputs, :, :depth] = weights & ((1 << bits) - 1)
    parts = full.reshape(panels, width, runs, steps, 8 // bits, 4) << (np.arange(8 // bits, dtype=np.uint8) * bits)[:, None]
    held = memory.take(panels * runs * steps * width * 4)
    held.reshape(panels, runs, steps, width, 4)[...] = np.bitwise_or.reduce(parts, axis=4).transpose(0, 2, 3, 1, 4)
    return held


def flipped(weights: Array, dot: Dot, vectors: int, memory: Memory) -> Array:
    """`fields` for ALONE."""
    held = fields(weights, dot, vectors, memory)
    held ^= np.uint8(FLIPPED[32 // dot.channels])
    return held
