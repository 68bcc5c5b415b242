"""The micro-kernel: sums of a tile of pixels by output channels held in registers, then the way out, fused.

Every convolution and matrix product is this loop: rows of the tile are found through a table of byte offsets (one entry an output
pixel), taps through another, so any kernel, stride and dilation is the same code and nothing is copied (an implicit GEMM; the
indirection of Dukhan, arXiv:1907.02129).  Taps that lie side by side in memory are one run.  Weights are packed in panels of
`vectors` registers; a block of panels stays in the cache while all pixels pass.
"""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import CUT_ARGS, Cut, count
from hwsim.kernels.dots import Dot
from hwsim.kernels.finishing import WAY_ARGS, Way, straight
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.lowbits import unpacked
from hwsim.kernels.plain import asked_ahead, entry, plain_sums, step_bytes

__all__ = ["TILE_ARGS", "store", "tile"]

TILE_ARGS = (
    "x",  # arena offset of the input
    "y",  # arena offset of the output
    "images",
    "x_image",  # bytes from one image to the next
    "y_image",
    "x_table",  # address of int32: byte offset of each pixel's first input
    "y_table",  # address of int32: byte offset of each pixel's first output
    "pixels",  # output pixels of one image
    "tap_table",  # address of int32: byte offset of each run of taps
    "taps",  # runs
    "steps",  # steps of the dot in one run
    "weights",  # address of packed weights
    "unpacked",  # arena offset of scratch memory for a block of them, where they are of fewer than 8 bits
    "start",  # address of numbers of the sums' kind: what each output channel's sum starts from
    "channels",  # output channels
    "block",  # panels that stay in the cache together
    *WAY_ARGS,
    *CUT_ARGS,
)


def tile(dot: Dot, rows: int, vectors: int, way: Way, cut: Cut | None = None, bits: int = 8) -> str:
    """Kernel of TILE_ARGS with tiles of `rows` pixels by `vectors` registers of output channels.

    Table entries behind the last pixel are never read: the last tile repeats its last pixel, which stores the same again.
    Parameters and starts are readable to a whole panel.  Weights of fewer than 8 `bits` are made bytes once for each block.
    """
    k = Code(TILE_ARGS)
    width = vectors * dot.lanes
    panels = (k["channels"] + (width - 1)) // width
    panel_bytes = k["taps"] * k["steps"] * step_bytes(dot, vectors)
    with k.loop(panels, step=k["block"]) as first:
        last = (first + k["block"]).at_most(panels)
        block = unpacked(k, first * panel_bytes, last * panel_bytes, bits)
        with k.loop(k["images"]) as image, k.loop(k["pixels"], step=rows) as pixel, k.loop(last, start=first) as panel:
            places = [(pixel + i).at_most(k["pixels"] - 1) for i in range(rows)]
            channel = panel * width
            x = [k.arena + k["x"] + image * k["x_image"] + entry(k, "x_table", p) + dot.apart * channel for p in places]
            y = [k.arena + k["y"] + image * k["y_image"] + entry(k, "y_table", p) for p in places]
            weights, lanes, size = block + panel * panel_bytes, dot.lanes, k.size(dot.held)
            start = [k.load(dot.held, k["start"] + size * (channel + lanes * j), lanes) for j in range(vectors)]
            if cut is None:
                ahead = asked_ahead(dot, vectors, k["block"] * panel_bytes, pixel // rows) if bits == 8 else []
                sums = plain_sums(k, dot, x, weights, start, ahead)
            else:
                sums, flags = cut.sums(k, dot, x, weights, start, panel)
                count(k, flags, pixel, k["channels"] - channel)
            store(k, way, sums, y, channel)
    return k.finished()


def store(k: Code, way: Way, sums: list[list[Lanes]], y: list[Lanes], channel: Lanes) -> None:
    """The way out of every sum: four vectors at once where the way allows."""
    if way.rescale is None:
        _store_each(k, way, sums, y, channel)
        return
    pieces, left = _packed(k, way, sums, channel), k["channels"] - channel
    with k.otherwise(left >= len(sums[0]) * host.lanes()) as (whole, part):
        with whole:
            for row, first, piece in pieces:
                k.store(piece, y[row] + (channel + first))
        with part:
            for row, first, piece in pieces:
                k.store_first(piece, y[row] + (channel + first), left - first)


def _packed(k: Code, way: Way, sums: list[list[Lanes]], channel: Lanes) -> list[tuple[int, int, Lanes]]:
    """Bytes of rows of the tile from a channel on, made four vectors at a time, row after row."""
    lanes, vectors, pieces = host.lanes(), len(sums[0]), []
    p = [way.loaded(k, channel + lanes * j, lanes) for j in range(vectors)]
    cells = [(r, j) for r in range(len(sums)) for j in range(vectors)]
    for at in range(0, len(cells), 4):
        four = cells[at : at + 4]
        taken = four + four[-1:] * (4 - len(four))
        whole = straight(way.packed(k, [sums[r][j] for r, j in taken], [p[j] for _, j in taken]))
        for row in sorted({r for r, _ in four}):
            own = [i for i, (r, _) in enumerate(four) if r == row]
            pieces.append((row, lanes * four[own[0]][1], whole.shuffle(list(range(own[0] * lanes, (own[-1] + 1) * lanes)))))
    return pieces


def _store_each(k: Code, way: Way, sums: list[list[Lanes]], y: list[Lanes], channel: Lanes) -> None:
    """One vector after the other; the last ones of the last panel keep what lies behind the last channel."""
    lanes, size = sums[0][0].lanes, k.size(way.kind)
    left = k["channels"] - channel
    for j in range(len(sums[0])):
        p = way.loaded(k, channel + lanes * j, lanes)
        values = [way.stored(k, row[j], p) for row in sums]
        targets = [a + size * (channel + lanes * j) for a in y]
        with k.otherwise(left - lanes * j >= lanes) as (whole, part):
            with whole:
                for value, target in zip(values, targets, strict=True):
                    k.store(value, target, way.kind)
            with part:
                for value, target in zip(values, targets, strict=True):
                    k.store_first(value, target, left - lanes * j, way.kind)
