"""The border of an image, filled with its zero point before the image is written."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.lanes import Lanes

__all__ = ["HALO_ARGS", "halo"]

HALO_ARGS = ("start", "images", "image", "row", "rows", "above", "below", "left", "right", "inside", "value")


def halo(kind: str) -> str:
    """Kernel: `value` in the cells around each image.

    All sizes are elements: `start` the arena offset (bytes) of the first cell, `image` and `row` from one to the next, `rows` with
    those above and below, which are filled whole; `left` and `right` beside the `inside` of the others.
    """
    k = Code(HALO_ARGS)
    size = k.size(kind)
    with k.loop(k["images"]) as image:
        first = k.arena + k["start"] + size * image * k["image"]
        with k.loop(k["rows"]) as y:
            here, whole = first + size * y * k["row"], (y < k["above"]) | (y >= k["rows"] - k["below"])
            _fill(k, kind, here, whole.select(k["row"], k["left"]))
            _fill(k, kind, here + size * (k["left"] + k["inside"]), whole.select(k.number("i64", 0), k["right"]))
    return k.finished()


def _fill(k: Code, kind: str, start: Lanes, count: Lanes) -> None:
    lanes, size = 4 * host.lanes() // k.size(kind), k.size(kind)
    value = k["value"].to("i32").to(kind).spread(lanes)
    with k.loop(count, step=lanes) as i:
        k.store_first(value, start + size * i, count - i)
