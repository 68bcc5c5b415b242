"""Depthwise convolution: the taps of many channels at once, a few taps at a time woven together so that one product sums them.

Bytes (or words) of `taps` pixels are interleaved inside 128-bit lanes, which puts the numbers that one channel needs side by side
for the dot product (`dots.Dot.multiply`); channels then lie in the order of `order`, in which weights and parameters are packed, and
the last shuffle puts the outputs right.
"""

from __future__ import annotations

from itertools import product

from hwsim.kernels.code import Code, Variable
from hwsim.kernels.dots import Dot
from hwsim.kernels.finishing import WAY_ARGS, Way
from hwsim.kernels.lanes import Lanes

__all__ = ["DEPTHWISE_ARGS", "depthwise", "order"]

DEPTHWISE_ARGS = (
    *("x", "y", "images", "x_image", "y_image"),
    "x_table",  # address of int32: byte offset of the first input of each tile of outputs
    "y_table",  # address of int32: byte offset of the first output of each tile
    "tiles",
    "y_next",  # bytes from one output of a tile to the next
    "tap_table",  # address of int32: byte offsets of the woven pixels
    "repeats",  # how often the steps are run, each time with the next groups and parts
    "weights",  # address: [block][repeat][part][vector][lane][tap of the group]
    "start",  # address of int32 in packed order: what sums start from
    "channels",
    *WAY_ARGS,
)


Steps = tuple[tuple[tuple[int, int], ...], ...]


def order(dot: Dot, lanes: int) -> list[int]:
    """The channel of a block at each place of its packed vectors: vector by vector, lane by lane."""
    taps = dot.channels
    return [i // 4 * 4 * taps + 4 * q + i % 4 for q in range(taps) for i in range(lanes)]


def depthwise(dot: Dot, lanes: int, outputs: int, steps: Steps, way: Way) -> str:
    """Kernel of DEPTHWISE_ARGS: blocks of `lanes` x dot.channels channels, tiles of so many neighbouring outputs of a row.

    For each group of woven pixels `steps` says which outputs take its products with which part of the weights.  Inputs, weights,
    starts and parameters are readable to a whole block.
    """
    k = Code(DEPTHWISE_ARGS)
    taps, parts = dot.channels, 1 + max(part for uses in steps for _, part in uses)
    block, x_size = taps * lanes, dot.x_bytes // taps
    part_bytes = taps * lanes * dot.w_bytes
    with k.loop(k["channels"], step=block) as first:
        start = [k.load("i32", k["start"] + 4 * (first + lanes * q), lanes) for q in range(taps)]
        parameters = [way.loaded(k, first + lanes * q, lanes) for q in range(taps)]
        weights = k["weights"] + (first // block) * k["repeats"] * (parts * part_bytes)
        with k.loop(k["images"]) as image, k.loop(k["tiles"]) as tile:
            x = k.arena + k["x"] + image * k["x_image"] + _entry(k, "x_table", tile) + x_size * first
            y = k.arena + k["y"] + image * k["y_image"] + _entry(k, "y_table", tile) + k.size(way.kind) * first
            held = [[k.variable(s) for s in start] for _ in range(outputs)]
            with k.loop(k["repeats"]) as repeat:
                _add(k, dot, x, weights + repeat * (parts * part_bytes), repeat * len(steps), steps, held)
            for p, row in enumerate(held):
                sums = [v.get() for v in row]
                whole = way.packed(k, sums, parameters) if way.rescale and taps == 4 else _in_order(k, way, sums, parameters)
                _store(k, whole, y + p * k["y_next"], k["channels"] - first)
    return k.finished()


def _entry(k: Code, table: str, index: Lanes) -> Lanes:
    return k.load("i32", k[table] + 4 * index, align=4).to("i64")


def _add(k: Code, dot: Dot, x: Lanes, weights: Lanes, first: Lanes, steps: Steps, held: list[list[Variable]]) -> None:
    """The products of the groups from `first` on, added to the vectors of sums of each output of the tile."""
    lanes, taps, multiply = held[0][0].get().lanes, dot.channels, dot.multiply
    assert multiply is not None, f"{dot} must have a product of vectors"
    kind = "u8" if dot.x_bytes == taps else "i16"
    for group, uses in enumerate(steps):
        offsets = [_entry(k, "tap_table", (first + group) * taps + i) for i in range(taps)]
        woven = _woven([k.load(kind, x + o, taps * lanes) for o in offsets])
        for (output, part), (q, numbers) in product(uses, enumerate(woven)):
            w = k.load(kind, weights + (part * taps + q) * lanes * dot.w_bytes, taps * lanes)
            held[output][q].set(multiply(held[output][q].get(), numbers, w))


def _woven(pixels: list[Lanes]) -> list[Lanes]:
    """2 or 4 vectors interleaved inside 128-bit lanes, so that each channel's numbers are neighbours."""
    if len(pixels) == 2:
        return [_unpacked(pixels[0], pixels[1], 1, high) for high in (False, True)]
    (a, b), (c, d) = ([_unpacked(pixels[i], pixels[i + 1], 1, high) for high in (False, True)] for i in (0, 2))
    return [_unpacked(one, two, 2, high) for one, two in ((a, c), (b, d)) for high in (False, True)]


def _unpacked(a: Lanes, b: Lanes, unit: int, high: bool) -> Lanes:
    """Units of numbers of the lower or upper half of each 128-bit lane of a and b in turn."""
    n, per = a.lanes, 128 // (8 if a.kind == "u8" else 16)
    picks: list[int] = []
    for lane in range(0, n, per):
        half = lane + (per // 2 if high else 0)
        for i in range(half, half + per // 2, unit):
            picks += [*range(i, i + unit), *range(n + i, n + i + unit)]
    return a.shuffle(picks, b)


def _in_order(k: Code, way: Way, sums: list[Lanes], parameters: list[list[Lanes]]) -> Lanes:
    """Outputs put in the order of their channels."""
    lanes, taps = sums[0].lanes, len(sums)
    narrow = [way.stored(k, s, own).to(way.kind) for s, own in zip(sums, parameters, strict=True)]
    while len(narrow) > 1:
        width = narrow[0].lanes
        narrow = [a.shuffle(list(range(2 * width)), b) for a, b in zip(narrow[::2], narrow[1::2], strict=True)]
    return narrow[0].shuffle(sorted(range(taps * lanes), key=lambda i: (i % lanes // 4, i // lanes, i % 4)))


def _store(k: Code, whole: Lanes, y: Lanes, left: Lanes) -> None:
    """Outputs to memory; those behind the last channel are left out."""
    with k.otherwise(left >= whole.lanes) as (full, part):
        with full:
            k.store(whole, y)
        with part:
            k.store_first(whole, y, left)
