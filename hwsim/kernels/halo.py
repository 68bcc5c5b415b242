"""The border of an image, filled with its zero point once the image is written: its cache lines are near then."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.lanes import Lanes

__all__ = ["HALO_ARGS", "halo"]

HALO_ARGS = ("start", "images", "image", "row", "rows", "head", "gap", "tail", "value")


def halo(kind: str) -> str:
    """Kernel: `value` in the cells around each image.

    All sizes are elements: `start` the arena offset (bytes) of the first cell, `image` and `row` from one to the next, `rows` those of
    the image itself; `head` cells lie before its first row, a `gap` between each and the next, and `tail` after the last.
    """
    k = Code(HALO_ARGS)
    size = k.size(kind)
    inside = k["row"] - k["gap"]
    with k.loop(k["images"]) as image:
        first = k.arena + k["start"] + size * image * k["image"]
        _fill(k, kind, first, k["head"])
        after = first + size * (k["head"] + inside)
        with k.loop(k["rows"] - 1) as y:
            _fill(k, kind, after + size * y * k["row"], k["gap"])
        _fill(k, kind, after + size * (k["rows"] - 1) * k["row"], k["tail"])
    return k.finished()


def _fill(k: Code, kind: str, start: Lanes, count: Lanes) -> None:
    lanes, size = 4 * host.lanes() // k.size(kind), k.size(kind)
    value = k["value"].to("i32").to(kind).spread(lanes)
    whole = count & -lanes
    with k.loop(whole, step=lanes) as i:
        k.store(value, start + size * i)
    with k.when(whole < count):
        k.store_first(value, start + size * whole, count - whole)
