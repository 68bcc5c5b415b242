"""Sums known to fit in 32 bits, in tiles of registers: 8-bit activations and weights by the processor's widest product, 16-bit by pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.cutting import Room
from hwsim.kernels.dots import PAIRS, U8S8, Dot, best
from hwsim.kernels.memory import Memory
from hwsim.kernels.packing import packed, padded
from hwsim.kernels.tile import TILE_ARGS, tile
from hwsim.kernels.widening import WIDEN_ARGS, widen
from hwsim.ops._cut_plan import CutPlan
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac, Phase, Plane, way_out
from hwsim.quant import Array

__all__ = ["any_order_dot", "emit_tiles", "offsets_table", "runs_of", "scaled", "tile_shape", "tiles", "widened", "wrapped32"]

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


def emit_tiles(mac: Mac, desk: Desk, dot: Dot, weights: Array, pack: Pack = packed, offset: int = 0, cut: CutPlan | None = None) -> None:
    """Calls of the micro-kernel: one for each group and each phase of a transposed convolution.

    `weights` (groups, outputs, kernel rows, columns, channels) are what the dot multiplies with numbers in memory; sums start from the
    bias and the correction for the zero point of the input.  `pack` lays out (outputs, runs, channels of a run) for the dot.
    """
    for phase in mac.phases():
        for g in range(mac.groups):
            _emit(mac, desk, dot, weights[g], phase, g, pack, offset, cut)


def _emit(
    mac: Mac, desk: Desk, dot: Dot, weights: Array, phase: tuple[Phase, Phase], g: int, pack: Pack, offset: int, cut: CutPlan | None
) -> None:
    x, y, own, pixels = mac.x, mac.y, slice(g * mac.outputs, (g + 1) * mac.outputs), phase[0].count * phase[1].count
    room = cut.cut.room if cut else Room(most=dot.most)
    vectors = _vectors(mac.outputs, pixels, room)
    offsets, runs = runs_of(mac, phase, weights)
    if cut is not None:
        runs, offsets = cut.laid(runs, offsets, dot)
    zero = mac.x_zero - x.bias
    start = offset + mac.epilogue.bias[own] - (zero * runs.sum((1, 2), dtype=np.int64) if zero else 0)
    width = vectors * host.lanes()
    e = mac.epilogue
    way, way_args = way_out(desk, replace(e, parameters=tuple(p[own] for p in e.parameters)), y.kind, y.bias, width)
    held = pack(runs, dot, vectors, desk.memory)
    steps = -(-runs.shape[2] // dot.channels)
    panel_bytes = max(runs.shape[1] * steps * width * dot.w_bytes, 1)
    args = {
        "x": x.offset + g * weights.shape[-1] * x.size,
        "y": y.offset + g * mac.outputs * y.size,
        "images": x.images,
        "x_image": x.image,
        "y_image": y.image,
        "x_table": desk.keep(offsets_table(*(np.arange(p.count) * p.stride * s for p, s in zip(phase, (x.row, x.column), strict=True)))),
        "y_table": desk.keep(offsets_table(*(_outputs(p) * s for p, s in zip(phase, (y.row, y.column), strict=True)))),
        "pixels": pixels,
        "tap_table": desk.keep(offsets),
        "taps": runs.shape[1],
        "steps": steps,
        "weights": desk.keep(held),
        "start": desk.keep(padded(wrapped32(start), np.int32, width)),
        "channels": mac.outputs,
        "block": max(CACHED // panel_bytes, 1),
        **way_args,
    }
    tiled = (dot, _rows(vectors, pixels, room), vectors, way)
    if cut is None:
        desk.call_named(Kernel(tile, tiled), TILE_ARGS, args)
    else:
        start = start + cut.offset * runs.sum((1, 2), dtype=np.int64) + np.broadcast_to(cut.before, len(mac.epilogue.bias))[own]
        own_args = {"start": desk.keep(padded(wrapped32(start), np.int32, width)), **cut.args(desk, runs, offsets, start, dot, width, own)}
        desk.call_named(Kernel(tile, (*tiled, cut.whole)), TILE_ARGS, args | own_args)


def _outputs(phase: Phase) -> Array:
    return phase.first + np.arange(phase.count) * phase.every


def wrapped32(values: Array) -> Array:
    """int64 numbers modulo 2^32."""
    return values.astype(np.int64).astype(np.uint64).astype(np.uint32).view(np.int32)


def offsets_table(rows: Array, columns: Array) -> Array:
    """The sums of all byte offsets of rows and of columns, row by row."""
    return (rows[:, None] + columns).ravel().astype(np.int32)


def runs_of(mac: Mac, phase: tuple[Phase, Phase], weights: Array) -> tuple[Array, Array]:
    """Byte offsets of the runs of taps and their weights (outputs, runs, depth): taps that lie side by side in memory are one run."""
    taps = [(ky, kx, sy * mac.x.row + sx * mac.x.column) for ky, sy in phase[0].taps for kx, sx in phase[1].taps]
    cell = weights.shape[-1] * mac.x.size
    starts = [i for i, t in enumerate(taps) if i == 0 or mac.groups > 1 or t[2] != taps[i - 1][2] + cell]
    lengths = set(np.diff([*starts, len(taps)]).tolist())
    if len(lengths) > 1:
        starts, lengths = list(range(len(taps))), {1}
    all_in_order = [t[:2] for t in taps] == list(np.ndindex(weights.shape[1:3]))
    each = weights if all_in_order else weights[:, [t[0] for t in taps], [t[1] for t in taps]]
    return np.array([taps[i][2] for i in starts], np.int32), each.reshape(len(weights), len(starts), -1 if starts else 0)


def tile_shape(outputs: int, pixels: int) -> tuple[int, int]:
    """Pixels and registers of outputs in a tile that cuts nothing."""
    vectors = _vectors(outputs, pixels, Room())
    return _rows(vectors, pixels, Room()), vectors


def _vectors(outputs: int, pixels: int, room: Room) -> int:
    """Registers of outputs in a tile: as few wasted lanes as possible, and among those the most registers; a lone pixel takes twice as
    many, so that sums do not wait for each other."""
    most = room.most or (4 if host.registers() > 16 else 2) * (2 if pixels == 1 else 1)
    need = -(-outputs // host.lanes())
    every = 2 if room.even else 1
    return min(range(every, most + 1, every), key=lambda v: (-(-need // v) * v * (1.3 if v == 1 and need > 1 else 1.0), -v))


def _rows(vectors: int, pixels: int, room: Room) -> int:
    """Pixels in a tile: what the registers hold, or less where that wastes fewer."""
    held = (host.registers() - vectors - 2 - room.reserved) // (vectors * room.registers)
    most = room.rows or max(min(held, LARGEST_TILE), 1)
    return pixels if pixels <= 2 else min(range(max(most - 2, 1), most + 1), key=lambda r: (-(-pixels // r) * (r + 0.3), -r))
