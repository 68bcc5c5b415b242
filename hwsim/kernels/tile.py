"""The micro-kernel: sums of a tile of pixels by output channels held in registers, then the way out, fused.

Every convolution and matrix product is this loop: rows of the tile are found through a table of byte offsets (one entry an output
pixel), taps through another, so any kernel, stride and dilation is the same code and nothing is copied (an implicit GEMM; the
indirection of Dukhan, arXiv:1907.02129).  Taps that lie side by side in memory are one run.  Weights are packed in panels of
`vectors` registers; a block of panels stays in the cache while all pixels pass.
"""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import CUT_ARGS, Cut, count
from hwsim.kernels.dots import Dot
from hwsim.kernels.finishing import WAY_ARGS, Way, straight
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.lowbits import unpacked

__all__ = ["TILE_ARGS", "entry", "store", "tile"]

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
TURN = 16  # bytes of each pixel that a turn of the innermost loop reads: what counts it takes ports that products need
SHARES, LINE = 8, 64  # tiles of pixels that share in asking for the next block of weights; bytes that are asked for at once


def tile(dot: Dot, rows: int, vectors: int, way: Way, cut: Cut | None = None, bits: int = 8) -> str:
    """Kernel of TILE_ARGS with tiles of `rows` pixels by `vectors` registers of output channels.

    Table entries behind the last pixel are never read: the last tile repeats its last pixel, which stores the same again.
    Parameters and starts are readable to a whole panel.  Weights of fewer than 8 `bits` are made bytes once for each block.
    """
    k = Code(TILE_ARGS)
    width = vectors * dot.lanes
    panels = (k["channels"] + (width - 1)) // width
    panel_bytes = k["taps"] * k["steps"] * _step_bytes(dot, vectors)
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
                ahead = _ahead(dot, vectors, k["block"] * panel_bytes, pixel // rows) if bits == 8 else []
                sums = _sums(k, dot, x, weights, start, ahead)
            else:
                sums, flags = cut.sums(k, dot, x, weights, start, panel)
                count(k, flags, pixel, k["channels"] - channel)
            store(k, way, sums, y, channel)
    return k.finished()


def entry(k: Code, table: str, index: Lanes) -> Lanes:
    """A byte offset of a table."""
    return k.load("i32", k[table] + 4 * index, align=4).to("i64")


def _step_bytes(dot: Dot, vectors: int) -> int:
    """Weights of a step."""
    return vectors * dot.lanes * dot.w_bytes


def _turn(dot: Dot) -> int:
    """Steps of a turn."""
    return max(TURN // dot.x_bytes, 1) if host.registers() > 16 else 1


def _ahead(dot: Dot, vectors: int, block: Lanes, tile: Lanes) -> list[Lanes]:
    """What the `tile`th tile of pixels asks for in a turn, in bytes behind the turn's own weights: its share of what lies `block` bytes
    on, the next block.  Behind the last one lie, as a rule, the weights of the next layer."""
    lines = _turn(dot) * _step_bytes(dot, vectors) // (SHARES * LINE)
    first = block + (tile & (SHARES - 1)) * (LINE * lines)
    return [first + LINE * i for i in range(lines)]


def _sums(k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], ahead: list[Lanes]) -> list[list[Lanes]]:
    """The tile's sums over all taps and channels, whole turns of each run first."""
    begin = [start[0].constant(0)] * dot.kept(len(start)) if dot.close else start
    held = [[k.variable(s) for s in begin] for _ in pixels]
    at, turn = k.variable(weights), _turn(dot)
    with k.loop(k["taps"]) as tap:
        offset = entry(k, "tap_table", tap)
        run = [p + offset for p in pixels]
        whole = k["steps"] & -turn
        with k.loop(whole, step=turn) as step:
            for line in ahead:
                k.prefetch(at.get() + line)
            _add(k, dot, held, [p + dot.x_bytes * step for p in run], at, turn, len(start))
        if turn > 1:
            with k.loop(k["steps"], start=whole) as step:
                _add(k, dot, held, [p + dot.x_bytes * step for p in run], at, 1, len(start))
    close = dot.close or (lambda sums, start: sums)
    return [close([v.get() for v in row], start) for row in held]


def _add(k: Code, dot: Dot, held: list[list[Variable]], pixels: list[Lanes], at: Variable, steps: int, vectors: int) -> None:
    """The products of so many steps."""
    sums, weights = [[v.get() for v in row] for row in held], at.get()
    for _ in range(steps):
        sums = dot.step(k, sums, pixels, weights)
        pixels, weights = [p + dot.x_bytes for p in pixels], weights + _step_bytes(dot, vectors)
    for row, values in zip(held, sums, strict=True):
        for variable, value in zip(row, values, strict=True):
            variable.set(value)
    at.set(weights)


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
