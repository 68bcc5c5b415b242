"""Sliding windows over the spatial axes: padding, strides and dilation of convolutions and pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode
from hwsim.ops._reading import choice
from hwsim.quant import Array

__all__ = ["AUTO_PADS", "Window", "numbers", "resolve_pads", "take_windows", "window_attrs", "window_of"]

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes; `before` and `after` are the padded cells on each side (negative `after`: unused cells)."""

    kernel: Shape
    strides: Shape
    dilations: Shape
    before: Shape
    after: Shape

    def output(self, size: Sequence[int]) -> Shape:
        """Spatial output size: floor of the places where the whole window fits in the padded input."""
        return tuple(
            (n + b + a - self.dilations[i] * (self.kernel[i] - 1) - 1) // self.strides[i] + 1
            for i, (n, b, a) in enumerate(zip(size, self.before, self.after, strict=True))
        )


def window_of(attrs: Mapping[str, Any]) -> Window:
    """The window that a node's attributes describe (they are complete after `resolve_pads`)."""
    return Window(*(tuple(attrs[k]) for k in ("kernel", "strides", "dilations", "before", "after")))


def window_attrs(node: Node, after: Sequence[int] | None = None) -> dict[str, Any]:
    """The window as ONNX writes it; `after`: the pads behind, where they are not what the window reaches."""
    a = node.attrs
    pads = [*a["before"], *(max(v, 0) for v in (a["after"] if after is None else after))]
    dilations = {"dilations": list(a["dilations"])} if max(a["dilations"], default=1) > 1 else {}
    return {"kernel_shape": list(a["kernel"]), "strides": list(a["strides"]), "pads": pads, **dilations}


def resolve_pads(s: SourceNode, kernel: Sequence[int], size: Sequence[int]) -> dict[str, Any]:
    """The complete window attributes of an ONNX convolution or pool: auto_pad, ceil_mode and defaults worked out."""
    rank = len(kernel)
    if len(size) != rank:
        raise HwsimError(s.where, f"the kernel must have {counted(len(size), 'spatial dimension')} like the input", rank)
    if rank < 1:
        raise HwsimError(s.where, "the input must have 3 or more dimensions", len(size) + 2)
    if min(kernel) < 1:
        raise HwsimError(s.where, "the kernel must have sizes of 1 or more", tuple(kernel))
    strides, dilations = numbers(s, "strides", rank, 1, 1), numbers(s, "dilations", rank, 1, 1)
    pads = numbers(s, "pads", 2 * rank, 0, 0)
    auto = choice(s, "auto_pad", AUTO_PADS, "NOTSET")
    before, after = pads[:rank], pads[rank:]
    if s.kind.endswith("Pool") and any(p > (k - 1) * d for p, k, d in zip(pads, [*kernel] * 2, dilations * 2, strict=True)):
        raise HwsimError(s.where, f"pads must be smaller than the kernel {tuple(kernel)}", pads)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-n // st) - 1) * st + (k - 1) * d + 1 - n, 0) for n, st, k, d in zip(size, strides, kernel, dilations, strict=True)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto == "VALID":
        before, after = [0] * rank, [0] * rank
    if s.attrs.get("ceil_mode", 0):
        after = [_ceil_pad(*v) for v in zip(size, kernel, strides, dilations, before, after, strict=True)]
    attrs = {
        "kernel": tuple(kernel),
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "before": tuple(before),
        "after": tuple(after),
    }
    if min(window_of(attrs).output(size), default=1) < 1:
        raise HwsimError(s.where, f"the kernel {tuple(kernel)} must fit into the padded input", tuple(size))
    return attrs


def numbers(s: SourceNode, attr: str, count: int, least: int, otherwise: int) -> list[int]:
    """An attribute that is a list of so many whole numbers."""
    found = [int(v) for v in s.attrs.get(attr, [otherwise] * count)]
    if len(found) != count or min(found, default=least) < least:
        raise HwsimError(s.where, f"{attr} must be {counted(count, 'number')} of {least} or more", found)
    return found


def _ceil_pad(n: int, k: int, stride: int, dilation: int, before: int, after: int) -> int:
    """The padding behind that makes floor division give ONNX's ceil_mode, without windows that start in the padding behind."""
    effective = (k - 1) * dilation + 1
    out = -(-(n + before + after - effective) // stride) + 1
    if (out - 1) * stride >= n + before:
        out -= 1
    return (out - 1) * stride + effective - n - before


def take_windows(x: Array, window: Window, fill: Any) -> Array:
    """All windows of x (N, C, *size): a view (N, C, *output, *kernel) of x padded with `fill`."""
    rank = len(window.kernel)
    pads = [(0, 0), (0, 0), *((b, max(a, 0)) for b, a in zip(window.before, window.after, strict=True))]
    if any(p != (0, 0) for p in pads):
        x = np.pad(x, pads, constant_values=fill)
    effective = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, effective, tuple(range(2, 2 + rank)))
    output = window.output([n - sum(p) for n, p in zip(x.shape[2:], pads[2:], strict=True)])
    steps = tuple(slice(0, (o - 1) * st + 1, st) for o, st in zip(output, window.strides, strict=True))
    return views[(slice(None), slice(None), *steps, *(slice(None, None, d) for d in window.dilations))]
