"""Sums known to fit in 32 bits, in tiles of registers: 8-bit activations and weights by the processor's widest product, 16-bit by pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.cutting import Room
from hwsim.kernels.dots import PAIRS, U8S8, Dot, best
from hwsim.kernels.lowbits import FIELD
from hwsim.kernels.memory import Memory
from hwsim.kernels.packing import in_fields, packed
from hwsim.kernels.tile import TILE_ARGS, tile
from hwsim.kernels.widening import WIDEN_ARGS, widen
from hwsim.ops._cut_plan import CutPlan
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import Group, groups_of
from hwsim.ops._mac_plan import Mac, Plane
from hwsim.quant import Array

__all__ = ["any_order_dot", "emit_tiles", "scaled", "tile_shape", "tiles", "widened"]

Pack = Callable[[Array, Dot, int, Memory], Array]
CACHED = 300_000  # bytes of packed weights that pass over all pixels together: what the second-level cache keeps
LARGEST_TILE = 14


def tiles(mac: Mac, desk: Desk) -> bool:
    """The route: any order of summation is right because no sum leaves 32 bits, or wraps there."""
    dot = any_order_dot(mac)
    if dot is None:
        return False
    emit_tiles(mac if dot is U8S8 or mac.x.kind == "i16" else replace(mac, x=widened(mac.x, desk)), desk, dot, mac.removed)
    return True


def any_order_dot(mac: Mac) -> Dot | None:
    """The product for sums that no order of summation takes out of 32 bits, None where some might."""
    a = mac.step.accumulator
    as_written = a.every != "pair" and (a.zero_points == "subtracted" or not mac.w_zero.any())
    if not (a.any_order or as_written) or not mac.exact_in(min(a.bits, 32)) or not mac.within(-32767, 32767):
        return None
    return best() if mac.x.kind == "u8" and mac.within(-128, 127) else PAIRS


def widened(x: Plane, desk: Desk) -> Plane:
    """The input as signed words, halo included, in scratch memory."""
    start = desk.work(2 * x.bytes + 128)
    desk.call_named(Kernel(widen), WIDEN_ARGS, {"x": x.start, "y": start, "count": x.bytes})
    return scaled(x, 2, "i16", start)


def scaled(x: Plane, times: int, kind: str, start: int) -> Plane:
    """A plane of bytes copied to `start` with so many bytes for each."""
    strides = {n: times * getattr(x, n) for n in ("image", "row", "column")}
    return replace(x, offset=start + times * (x.offset - x.start), kind=kind, start=start, bytes=times * x.bytes, **strides)


def emit_tiles(
    mac: Mac, desk: Desk, dot: Dot, weights: Array, pack: Pack = packed, offset: int = 0, cut: CutPlan | None = None, bits: int = 8
) -> None:
    """Calls of the micro-kernel: one for each group and each phase of a transposed convolution.

    `weights` (groups, outputs, kernel rows, columns, channels) are what the dot multiplies with numbers in memory; sums start from the
    bias and the correction for the zero point of the input.  `pack` lays out (outputs, runs, channels of a run) for the dot; bytes
    are kept in so many `bits` until their block is used.
    """
    for group in groups_of(mac, weights):
        _emit(group, desk, dot, pack, offset, cut, bits)


def _emit(group: Group, desk: Desk, dot: Dot, pack: Pack, offset: int, cut: CutPlan | None, bits: int) -> None:
    room = cut.cut.room if cut else Room(most=dot.most)
    vectors = _vectors(group.mac.outputs, group.pixels, room, dot.lanes)
    if cut is not None:
        runs, offsets = cut.laid(group.runs, group.offsets, dot)
        group = replace(group, runs=runs, offsets=offsets)
    start, runs, width = group.start() + offset, group.runs, vectors * dot.lanes
    if cut is not None:
        start = start + cut.offset * runs.sum((1, 2), dtype=np.int64) + np.broadcast_to(cut.before, len(group.mac.epilogue.bias))[group.own]
    way, way_args = group.way_out(desk, width)
    held = pack(runs, dot, vectors, desk.memory if bits == 8 else Memory())
    args = group.args(desk, start, width, dot.held) | {
        "steps": -(-runs.shape[2] // dot.channels),
        **_weights(desk, held, -(-group.mac.outputs // width), bits),
        **way_args,
    }
    tiled = (dot, _rows(vectors, group.pixels, room), vectors, way)
    if cut is None:
        desk.call_named(Kernel(tile, tiled if bits == 8 else (*tiled, None, bits)), TILE_ARGS, args)
    else:
        own_args = cut.args(desk, runs, group.offsets, start, dot, width, group.own)
        desk.call_named(Kernel(tile, (*tiled, cut.whole)), TILE_ARGS, args | own_args)


def _weights(desk: Desk, held: Array, panels: int, bits: int) -> dict[str, int]:
    """Where packed weights are, and how many panels of them pass over all pixels together."""
    panel_bytes = max(held.nbytes // panels, 1)
    block = min(max(CACHED // panel_bytes, 1), panels)
    if bits == 8:
        return {"weights": desk.keep(held), "block": block}
    unpacked = desk.work(block * panel_bytes + 2 * FIELD * 8 // bits)
    return {"weights": desk.keep(in_fields(held, bits, desk.memory)), "block": block, "unpacked": unpacked}


def tile_shape(outputs: int, pixels: int, lanes: int) -> tuple[int, int]:
    """Pixels and registers of outputs in a tile that cuts nothing."""
    vectors = _vectors(outputs, pixels, Room(), lanes)
    return _rows(vectors, pixels, Room()), vectors


def _vectors(outputs: int, pixels: int, room: Room, lanes: int) -> int:
    """Registers of outputs in a tile: as few wasted lanes as possible, and among those the most registers; a lone pixel takes twice as
    many, so that sums do not wait for each other."""
    most = room.most or (4 if host.registers() > 16 else 2) * (2 if pixels == 1 else 1)
    need = -(-outputs // lanes)
    every = 2 if room.even else 1
    return min(range(every, most + 1, every), key=lambda v: (-(-need // v) * v * (1.3 if v == 1 and need > 1 else 1.0), -v))


def _rows(vectors: int, pixels: int, room: Room) -> int:
    """Pixels in a tile: what the registers hold, or less where that wastes fewer."""
    held = (host.registers() - vectors - 2 - room.reserved) // (vectors * room.registers)
    most = room.rows or max(min(held, LARGEST_TILE), 1)
    return pixels if pixels <= 2 else min(range(max(most - 2, 1), most + 1), key=lambda r: (-(-pixels // r) * (r + 0.3), -r))
