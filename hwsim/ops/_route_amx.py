"""Sums known to fit in 32 bits, in the tile registers of AMX: 8-bit activations and weights."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.amx import AMX_ARGS, CONFIG, DEPTH, PIXELS, ROWS, amx_tile, row_bytes
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.dots import U8S8
from hwsim.kernels.memory import Memory
from hwsim.kernels.packing import in_fields, padded
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import Group, groups_of
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_tiles import any_order_dot
from hwsim.quant import Array

__all__ = ["amx", "emit_amx", "fills"]

CACHED = 1 << 20  # bytes of packed weights that pass over all pixels together: half of the second-level cache
LEAST_DEPTH, LEAST_PIXELS, LEAST = 48, 8, 1 << 17  # channels under a window, pixels, and products from which tiles are filled enough


def amx(mac: Mac, desk: Desk) -> bool:
    """The route: as `tiles`, for products of enough pixels, outputs and channels to fill tiles."""
    if not fills(mac) or any_order_dot(mac) is not U8S8:
        return False
    emit_amx(mac, desk, mac.removed)
    return True


def fills(mac: Mac) -> bool:
    """Whether the processor has tiles and a product is large enough for them to be faster than vectors."""
    pixels, depth = mac.y.rows * mac.y.columns, int(np.prod(mac.weights.shape[2:]))
    return host.amx() and depth >= LEAST_DEPTH and pixels >= LEAST_PIXELS and pixels * depth * mac.outputs >= LEAST


def emit_amx(mac: Mac, desk: Desk, weights: Array, bits: int = 8, w_zero: Array | None = None, wraps: bool = False) -> None:
    """Calls of the micro-kernel, whose `weights` (groups, outputs, kernel rows, columns, channels) are kept in `bits` bits (those of one
    bit are -1 and 1); `w_zero` is what each output's are too large by.  An accumulator of fewer than 32 bits `wraps`, and counts."""
    after: dict[str, int] = {"bits": mac.step.accumulator.bits, "overflowed": desk.counter(mac.step)} if wraps else {}
    for group in groups_of(mac, weights):
        _emit(group, desk, bits, w_zero, after)


def _emit(group: Group, desk: Desk, bits: int, w_zero: Array | None, after: dict[str, int]) -> None:
    outputs, runs, run = group.runs.shape
    vectors, chunks = (1 if outputs <= 16 else 2), -(-runs * run // DEPTH)
    panel_bytes = vectors * ROWS * DEPTH * chunks
    block = max(CACHED // max(panel_bytes, 1), 1)
    way, way_args = group.way_out(desk, 16 * vectors)
    in_place = runs == 1 and group.pixels >= PIXELS and (not after or group.pixels % PIXELS == 0)
    even = group.even if in_place else 0
    held = as_tiles(group.runs.reshape(outputs, -1), vectors, desk.memory if bits == 8 else Memory())
    args = group.args(desk, group.start(w_zero), 16 * vectors) | {
        "run": run,
        "chunks": chunks,
        "weights": desk.keep(held if bits == 8 else in_fields(held, bits, desk.memory)),
        "unpacked": 0 if bits == 8 else desk.work(min(block * panel_bytes, held.nbytes)),
        "block": block,
        "rows": even or desk.work(PIXELS * row_bytes(chunks)),
        "sums": desk.work(4 * 16 * PIXELS * vectors),
        "config": desk.keep(np.frombuffer(CONFIG, np.uint8)),
        **way_args,
        **after,
    }
    if w_zero is not None:
        args |= {"totals": desk.work(4 * PIXELS), "w_zero": desk.keep(padded(w_zero[group.own], np.int32, 16 * vectors))}
    last = "shifted" if w_zero is not None else "wrapped" if after else ""
    desk.call_named(Kernel(amx_tile, (vectors, way, bool(even), bits, last)), AMX_ARGS, args)


def as_tiles(weights: Array, vectors: int, memory: Memory) -> Array:
    """Weights (outputs, depth) as [panel][chunk][vector][16 fours of channels][16 outputs][4], filled up with zeros."""
    outputs, depth = weights.shape
    panels, chunks = -(-outputs // (16 * vectors)), -(-depth // DEPTH)
    full = np.zeros((panels * 16 * vectors, chunks * DEPTH), np.int8)
    full[:outputs, :depth] = weights
    held = memory.take(full.nbytes)
    held.view(np.uint32).reshape(panels, chunks, vectors, 16, 16)[...] = (
        full.view(np.uint32).reshape(panels, vectors, 16, chunks, 16).transpose(0, 3, 1, 4, 2)
    )
    return held.view(np.int8)
