"""Kernel that quantizes real numbers by their own range, found on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["RANGE_ARGS", "symmetric"]

RANGE_ARGS = ("x", "y", "scales", "images", "count", "y_bias")
STEPS = 127.0


def symmetric(rounded: Callable[..., Any]) -> str:
    """Kernel of RANGE_ARGS: each image in 127 steps of its largest magnitude, `rounded` to whole ones; an image of zeros has a scale of 1.

    x, y, scales: arena offsets of images x count float32 numbers and bytes (less y_bias), and of a float32 scale per image.
    """
    k = Code(RANGE_ARGS)
    lanes, bias, one = host.lanes(), k["y_bias"].to("i32"), k.number("f32", 1.0)
    with k.loop(k["images"]) as image:
        x, y = k.arena + k["x"] + 4 * image * k["count"], k.arena + k["y"] + image * k["count"]
        most = k.variable(k.number("f32", 0.0, lanes))
        with k.loop(k["count"], step=lanes) as i:
            size = k.load("f32", x + 4 * i, lanes).call("fabs")
            inside = k.sequence("i32", lanes) < (k["count"] - i).to("i32")
            most.set(inside.select(size.at_least(most.get()), most.get()))
        largest = most.get().reduce("fmax")
        some = (largest == 0.0).select(one, largest)
        k.store((largest == 0.0).select(one, some / STEPS), k.arena + k["scales"] + 4 * image)
        factor = STEPS / some
        with k.loop(k["count"], step=lanes) as i:
            q = rounded(k.load("f32", x + 4 * i, lanes) * factor).at_least(-STEPS).at_most(STEPS)
            k.store_first(q.to("i32") - bias, y + i, k["count"] - i, "u8")
    return k.finished()
