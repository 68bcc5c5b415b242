"""Kernels that quantize real numbers by their own range, found on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["RANGE_ARGS", "WHOLE_ARGS", "asymmetric", "symmetric"]

RANGE_ARGS = ("x", "y", "scales", "images", "count", "y_bias")
WHOLE_ARGS = ("x", "y", "scale", "zero", "count")
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
            inside = k.among(k["count"] - i, lanes)
            most.set(inside.select(size.at_least(most.get()), most.get()))
        largest = most.get().reduce("fmax")
        some = (largest == 0.0).select(one, largest)
        k.store((largest == 0.0).select(one, some / STEPS), k.arena + k["scales"] + 4 * image)
        factor = STEPS / some
        with k.loop(k["count"], step=lanes) as i:
            q = rounded(k.load("f32", x + 4 * i, lanes) * factor).at_least(-STEPS).at_most(STEPS)
            k.store_first(q.to("i32") - bias, y + i, k["count"] - i, "u8")
    return k.finished()


def asymmetric() -> str:
    """Kernel of WHOLE_ARGS: ONNX DynamicQuantizeLinear, 255 steps from the least to the largest number, 0 among them.

    x, y, scale, zero: arena offsets of `count` float32 numbers and bytes, of a float32 number and of a byte.
    """
    k = Code(WHOLE_ARGS)
    lanes, one, nothing = host.lanes(), k.number("f32", 1.0), k.number("f32", 0.0)
    x, low, high = k.arena + k["x"], *(k.variable(k.number("f32", 0.0, lanes)) for _ in range(2))
    with k.loop(k["count"], step=lanes) as i:
        inside = k.among(k["count"] - i, lanes)
        v = inside.select(k.load("f32", x + 4 * i, lanes), nothing.spread(lanes))
        low.set(v.at_most(low.get()))
        high.set(v.at_least(high.get()))
    least, most = low.get().reduce("fmin"), high.get().reduce("fmax")
    scale = (least == most).select(one, (most - least) / 255.0)
    zero = (nothing - least / scale).at_least(0.0).at_most(255.0).call("rint")
    k.store(scale, k.arena + k["scale"])
    k.store(zero.to("i32"), k.arena + k["zero"], "u8")
    with k.loop(k["count"], step=lanes) as i:
        q = (k.load("f32", x + 4 * i, lanes) / scale).call("rint") + zero
        k.store_first(q.at_least(0.0).at_most(255.0).to("i32"), k.arena + k["y"] + i, k["count"] - i, "u8")
    return k.finished()
