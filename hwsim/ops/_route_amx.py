"""Sums known to fit in 32 bits, in the tile registers of AMX: 8-bit activations and weights."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.amx import AMX_ARGS, CONFIG, DEPTH, PIXELS, ROWS, row_bytes, tiles
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.dots import U8S8
from hwsim.kernels.memory import Memory
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import Group, groups_of
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_tiles import any_order_dot
from hwsim.quant import Array

__all__ = ["amx"]

CACHED = 1 << 20  # bytes of packed weights that pass over all pixels together: half of the second-level cache


def amx(mac: Mac, desk: Desk) -> bool:
    """The route: as `tiles`, for products of enough pixels, outputs and channels to fill tiles."""
    if not host.amx() or any_order_dot(mac) is not U8S8 or not _fills(mac):
        return False
    for group in groups_of(mac, mac.removed):
        _emit(group, desk)
    return True


def _fills(mac: Mac) -> bool:
    depth = int(np.prod(mac.weights.shape[2:]))
    return mac.y.rows * mac.y.columns >= ROWS and mac.outputs >= 16 and depth >= DEPTH // 2


def _emit(group: Group, desk: Desk) -> None:
    outputs, runs, run = group.runs.shape
    vectors, chunks = (1 if outputs <= 16 else 2), -(-runs * run // DEPTH)
    way, way_args = group.way_out(desk, 16 * vectors)
    even = group.even if runs == 1 else 0
    args = group.args(desk, group.start(), 16 * vectors) | {
        "run": run,
        "chunks": chunks,
        "weights": desk.keep(as_tiles(group.runs.reshape(outputs, -1), vectors, desk.memory)),
        "block": max(CACHED // max(vectors * ROWS * DEPTH * chunks, 1), 1),
        "rows": even or desk.work(PIXELS * row_bytes(chunks)),
        "sums": desk.work(2 * 4 * 16 * PIXELS * vectors),
        "config": desk.keep(np.frombuffer(CONFIG, np.uint8)),
        **way_args,
    }
    desk.call_named(Kernel(tiles, (vectors, way, bool(even))), AMX_ARGS, args)


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
