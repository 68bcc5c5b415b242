"""Kernels of batched products of two computed matrices: 8-bit ones are laid out as pairs of words, and the micro-kernel multiplies them."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.tile import TILE_ARGS

__all__ = ["BATCHED_ARGS", "EACH_ARGS", "batched", "each"]

BATCHED_ARGS = (
    *("x", "w", "y", "batches", "offsets", "rows", "depth", "columns", "x_row", "x_depth", "w_depth", "w_column", "x_zero", "w_zero"),
    *("y_size", "left", "right", "tile", "tile_args", "own_args"),
)
EACH_ARGS = ("batches", "x", "x_step", "y", "y_step", "weights", "weights_step", "tile", "tile_args", "own_args")


def batched(vectors: int, x_beside: bool, w_along: str) -> str:
    """Kernel of BATCHED_ARGS, whose tiles have so many vectors of columns.

    x, w, y: arena offsets of bytes, bytes and numbers of y_size; offsets: address of (x, w, y) elements of each batch's first (int64);
    strides are elements, of which x_depth is 1 where its numbers lie `beside`, and w_depth or w_column where those of w lie side by side
    along `depth` or `columns` ("": neither); zeros are those of memory.  left, right: scratch for (rows, pairs of depth) and for
    [panel][pairs of depth][column], in words of four bytes.  tile: the micro-kernel of PAIRS, with its TILE_ARGS at an address, copied
    to scratch memory `own_args`.
    """
    k = Code(BATCHED_ARGS)
    own = _own_args(k)
    k.store(k.arena + k["right"], own + 8 * TILE_ARGS.index("weights"))
    with k.loop(k["batches"]) as b:
        x, w, y = (k.load("i64", k["offsets"] + 24 * b + 8 * i) for i in range(3))
        _lay_left(k, k.arena + k["x"] + x, x_beside)
        if w_along == "depth":
            _lay_columns(k, k.arena + k["w"] + w, vectors * host.lanes())
        else:
            _lay_rows(k, k.arena + k["w"] + w, vectors * host.lanes(), w_along == "columns")
        k.store(k["y"] + k["y_size"] * y, own + 8 * TILE_ARGS.index("y"))
        k.call(k["tile"], own, k.arena)
    return k.finished()


def each() -> str:
    """Kernel of EACH_ARGS: the micro-kernel `tile` for each of `batches` products that are laid out: arena offsets of the first one's
    input, output and weights, and bytes from one to the next; `tile_args` and `own_args` as in `batched`."""
    k = Code(EACH_ARGS)
    own = _own_args(k)
    with k.loop(k["batches"]) as b:
        for name, base in (("x", k["x"]), ("y", k["y"]), ("weights", k["weights"] + k.arena)):
            k.store(base + b * k[f"{name}_step"], own + 8 * TILE_ARGS.index(name))
        k.call(k["tile"], own, k.arena)
    return k.finished()


def _own_args(k: Code) -> Lanes:
    """The address of a copy of the micro-kernel's arguments, in scratch memory."""
    own = k.arena + k["own_args"]
    with k.loop(k.number("i64", len(TILE_ARGS))) as i:
        k.store(k.load("i64", k["tile_args"] + 8 * i), own + 8 * i)
    return own


def _lay_left(k: Code, x: Lanes, beside: bool) -> None:
    """Rows of words without their zero point, with a zero behind an odd one.  A row may spill over the next one, which comes later."""
    lanes, zero, odd = 2 * host.lanes() if beside else 1, k["x_zero"].to("i16"), (k["depth"] & 1) != 0
    with k.loop(k["rows"]) as row:
        source, target = x + row * k["x_row"], k.arena + k["left"] + 2 * row * (k["depth"] + (k["depth"] & 1))
        with k.loop(k["depth"], step=lanes) as i:
            k.store(k.load("u8", source + i * k["x_depth"], lanes).to("i16") - zero, target + 2 * i)
        with k.when(odd):
            k.store(k.number("i16", 0), target + 2 * k["depth"])


def _lay_rows(k: Code, w: Lanes, width: int, beside: bool) -> None:
    """Panels of pairs of rows without their zero point; behind an odd row it stands once more, against a zero on the left."""
    lanes, steps = host.lanes() if beside else 1, (k["depth"] + 1) // 2
    zero = k["w_zero"].to("i32")
    with k.loop(k["columns"], step=width) as panel, k.loop(k.number("i64", width), step=lanes) as lane:
        column = panel + lane if beside else (panel + lane).at_most(k["columns"] - 1)
        with k.loop(steps) as step:
            places = [w + column * k["w_column"] + (2 * step + i).at_most(k["depth"] - 1) * k["w_depth"] for i in range(2)]
            even, odd = (k.load("u8", p, lanes).to("i32") - zero for p in places)
            k.store((odd << 16) | (even & 65535), k.arena + k["right"] + 4 * (panel * steps + step * width + lane))


def _lay_columns(k: Code, w: Lanes, width: int) -> None:
    """The same of columns whose numbers lie side by side, each spread over its panel; what is behind an odd one meets a zero."""
    lanes, steps, zero = host.lanes(), (k["depth"] + 1) // 2, k["w_zero"].to("i16")
    with k.loop(k["columns"]) as column:
        panel = column // width * width
        source, target = w + column * k["w_column"], k.arena + k["right"] + 4 * (panel * steps + column - panel)
        with k.loop(steps, step=lanes) as step:
            pairs = (k.load("u8", source + 2 * step, 2 * lanes).to("i16") - zero).bits("i32")
            left = steps - step
            with k.otherwise(left >= lanes) as (whole, part):
                with whole:
                    for i in range(lanes):
                        k.store(pairs.lane(i), target + 4 * width * (step + i))
                with part:
                    for i in range(lanes):
                        with k.when(left > i):
                            k.store(pairs.lane(i), target + 4 * width * (step + i))
