"""The micro-kernel on AMX (Intel SDM, chapter "Advanced Matrix Extensions"): sums of 32 pixels by one or two vectors of output channels
in tile registers.

A product of tiles is 16 pixels by 64 input channels by 16 outputs in one instruction, so the rows of the tile of pixels are gathered
first: the numbers of all taps of a pixel lie side by side then, and one row after the other.  Weights are packed as tiles, and a
block of panels stays in the second-level cache while all pixels pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hwsim.kernels.code import Code
from hwsim.kernels.cutting import count, wrapped
from hwsim.kernels.dots import quads
from hwsim.kernels.finishing import WAY_ARGS, Way
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.lowbits import unpacked
from hwsim.kernels.plain import entry
from hwsim.kernels.tile import store

__all__ = ["AMX_ARGS", "CONFIG", "DEPTH", "PIXELS", "ROWS", "amx_tile", "row_bytes"]

ROWS, DEPTH, PIXELS = 16, 64, 32  # of a tile register: rows, and bytes of a row; pixels whose sums are held together
TILE = ROWS * DEPTH
CONFIG = bytes([1, *[0] * 15, *[DEPTH, 0] * 8, *[0] * 16, *[ROWS] * 8, *[0] * 8])  # palette 1: eight whole tiles
AMX_ARGS = (
    *("x", "y", "images", "x_image", "y_image", "x_table", "y_table", "pixels", "tap_table", "taps"),  # as in TILE_ARGS
    "run",  # bytes of a run of taps
    "chunks",  # tiles that hold a pixel's numbers
    "weights",  # address of packed weights: [panel][chunk][vector] tiles of [16 fours of channels][16 outputs][4], or of their fields
    "unpacked",  # arena offset of scratch memory for a block of them
    "start",
    "channels",
    "block",
    "rows",  # arena offset of scratch memory for PIXELS rows of `row_bytes`; where pixels lie evenly, the bytes from one to the next
    "sums",  # arena offset of scratch memory for the sums: PIXELS x vectors x 16 of int32
    "config",  # address of CONFIG
    "totals",  # arena offset of scratch memory for the sum of each pixel's numbers: PIXELS of int32
    "w_zero",  # address of int32: what each output's weights are too large by
    "bits",  # of an accumulator that wraps
    "overflowed",  # arena offset of the count of outputs that it changed (int64)
    *WAY_ARGS,
)
AHEAD = 16  # chunks, from the third-level cache or memory to the second, where a block of weights passes for the first time
FIRST_X, FIRST_W = 4, 6  # tile registers of pixels and of weights, behind those of sums


def row_bytes(chunks: Any) -> Any:
    """Bytes from one gathered row to the next, for a number of chunks, in Python or in a kernel: room for a vector that passes the end, in
    another cache set than the row before."""
    return (chunks + 1) * DEPTH


def amx_tile(vectors: int, way: Way, even: bool, bits: int, after: str = "") -> str:
    """Kernel of AMX_ARGS with panels of `vectors` (1 or 2) x 16 output channels.

    Weights of 8 `bits` are tiles; those of 4, 2 or 1 are made tiles once for each block.

    Pixels that lie `even`ly, at least PIXELS and each in one run of taps, are multiplied where they are; the last tile begins earlier then,
    so that it does not reach behind the last pixel.  `after` the last product sums are "shifted" by the sum of the pixel's numbers times
    `w_zero`, or "wrapped" to `bits` bits.
    """
    k = Code(AMX_ARGS)
    width = 16 * vectors
    panels = (k["channels"] + (width - 1)) // width
    k.machine("llvm.x86.ldtilecfg", k["config"])
    panel_bytes = k["chunks"] * (vectors * TILE)
    with k.loop(panels, step=k["block"]) as first:
        last = (first + k["block"]).at_most(panels)
        weights = unpacked(k, first * panel_bytes, last * panel_bytes, bits)
        with k.loop(k["images"]) as image, k.loop(k["pixels"], step=PIXELS) as tile:
            pixel = tile.at_most(k["pixels"] - PIXELS) if even else tile
            left = (k["pixels"] - pixel).at_most(PIXELS)
            x = k.arena + k["x"] + image * k["x_image"]
            rows = _in_place(k, x, pixel) if even else _gather(k, x, pixel, left)
            if after == "shifted":
                _add_up(k, rows, left)
            with k.loop(last, start=first) as panel:
                with k.otherwise(image + tile == 0) as (new, known):
                    with new:
                        _multiply(k, rows, weights + panel * panel_bytes, panel, left, vectors, AHEAD)
                    with known:
                        _multiply(k, rows, weights + panel * panel_bytes, panel, left, vectors)
                _finish(k, way, image, pixel, left, panel, vectors, after)
    k.machine("llvm.x86.tilerelease")
    return k.finished()


class Rows(NamedTuple):
    """The numbers of the pixels of a tile: the address of the first's, and the bytes from one to the next."""

    first: Lanes
    stride: Lanes


def _in_place(k: Code, x: Lanes, pixel: Lanes) -> Rows:
    return Rows(x + entry(k, "x_table", pixel) + entry(k, "tap_table", k.number("i64", 0)), k["rows"])


def _gather(k: Code, x: Lanes, pixel: Lanes, left: Lanes) -> Rows:
    """The numbers under the window of each pixel, side by side; what lies behind the last meets weights of zero."""
    whole, tail = k["run"] & -DEPTH, k["run"] & (DEPTH - 1)
    rows = Rows(k.arena + k["rows"], row_bytes(k["chunks"]))
    with k.loop(left) as row:
        source, target = x + entry(k, "x_table", pixel + row), rows.first + row * rows.stride
        with k.loop(k["taps"]) as tap:
            run, own = source + entry(k, "tap_table", tap), target + tap * k["run"]
            with k.loop(whole, step=DEPTH) as i:
                k.store(k.load("u8", run + i, DEPTH), own + i)
            with k.when(tail > 0):
                k.store(k.load_first("u8", run + whole, tail, DEPTH), own + whole)
    return rows


def _add_up(k: Code, rows: Rows, left: Lanes) -> None:
    """The sum of the numbers of each pixel."""
    depth = k["taps"] * k["run"]
    with k.loop(left) as row:
        total = k.variable(k.number("i32", 0, 16))
        with k.loop(depth, step=DEPTH) as i:
            numbers = k.load_first("u8", rows.first + row * rows.stride + i, depth - i, DEPTH)
            total.set(quads(total.get(), numbers, numbers.constant(1)))
        k.store(total.get().reduce("add"), k.arena + k["totals"] + 4 * row)


def _multiply(k: Code, rows: Rows, weights: Lanes, panel: Lanes, left: Lanes, vectors: int, ahead: int = 0) -> None:
    """The sums of `left` pixels, to memory.  Weights `ahead` chunks on are asked for."""
    with k.otherwise(left > ROWS) as (both, one):
        with both:
            _multiply_rows(k, rows, weights, panel, 2, vectors, ahead)
        with one:
            _multiply_rows(k, rows, weights, panel, 1, vectors, ahead)


def _multiply_rows(k: Code, rows: Rows, weights: Lanes, panel: Lanes, high: int, vectors: int, ahead: int) -> None:
    """The sums of `high` x 16 pixels."""
    kept = k.arena + k["sums"]
    sums = [(i, j, 2 * i + j) for i in range(high) for j in range(vectors)]
    for _, j, register in sums:
        k.machine("llvm.x86.tileloadd64", register, k["start"] + 64 * (panel * vectors + j), k.number("i64", 0))
    with k.loop(k["chunks"]) as chunk:
        here = weights + vectors * TILE * chunk
        for line in range(0, vectors * TILE if ahead else 0, 64):
            k.prefetch(here + (vectors * TILE * ahead + line))
        for j in range(vectors):
            k.machine("llvm.x86.tileloaddt164", FIRST_W + j, here + TILE * j, k.number("i64", DEPTH))
        for i in range(high):
            k.machine("llvm.x86.tileloadd64", FIRST_X + i, rows.first + DEPTH * chunk + ROWS * i * rows.stride, rows.stride)
        for i, j, register in sums:
            k.machine("llvm.x86.tdpbusd", register, FIRST_X + i, FIRST_W + j)
    for i, j, register in sums:
        k.machine("llvm.x86.tilestored64", register, kept + 64 * (ROWS * vectors * i + j), k.number("i64", 64 * vectors))


def _finish(k: Code, way: Way, image: Lanes, pixel: Lanes, left: Lanes, panel: Lanes, vectors: int, after: str) -> None:
    """The way out of the sums in memory, four vectors at a time."""
    high, y, kept = 4 // vectors, k.arena + k["y"] + image * k["y_image"], k.arena + k["sums"]
    channels = [panel * (16 * vectors) + 16 * j for j in range(vectors)]
    with k.loop(left, step=high) as row:
        places = [(row + i).at_most(left - 1) for i in range(high)]
        held = [[k.load("i32", kept + 64 * (vectors * p + j), 16) for j in range(vectors)] for p in places]
        if after == "wrapped":
            held, flags = wrapped(k, held)
            count(k, flags, pixel + row, k["channels"] - channels[0])
        if after == "shifted":
            zeros = [k.load("i32", k["w_zero"] + 4 * c, 16) for c in channels]
            totals = [k.load("i32", k.arena + k["totals"] + 4 * p) for p in places]
            held = [[v - n * z for v, z in zip(own, zeros, strict=True)] for own, n in zip(held, totals, strict=True)]
        store(k, way, held, [y + entry(k, "y_table", pixel + p) for p in places], channels[0])
