"""Transposed convolution: a convolution of the input spread out by the strides, with the kernel turned around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops import conv
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_kernel import emit_mac
from hwsim.ops._mac_plan import Axis, Mac, plane_of
from hwsim.ops._reading import Reader, check_shape, choice
from hwsim.ops._real_mac import are_real, emit_real_conv, known
from hwsim.ops._real_sums import real_matmul
from hwsim.ops._windows import AUTO_PADS, numbers
from hwsim.ops._writing import Operands, Written
from hwsim.program import LoopNest, Step
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    x, w = r.ranked(s, 0, 3), r.shape(s.inputs[1])
    rank, group = len(x) - 2, int(s.attrs.get("group", 1))
    if len(w) != len(x) or x[1] != w[0] or min(w) < 1 or group < 1 or x[1] % group:
        wanted = f"must have {counted(x[1], 'input channel')} in {counted(group, 'group')} first"
        raise HwsimError(s.where, f"the weights {wanted}", f"shape {w}")
    check_shape(s, r, 2, (w[1] * group,), "the bias")
    if list(s.attrs.get("kernel_shape", w[2:])) != list(w[2:]):
        raise HwsimError(s.where, f"kernel_shape must be the weights' {w[2:]}", tuple(s.attrs["kernel_shape"]))
    strides, dilations = (tuple(numbers(s, a, rank, 1, 1)) for a in ("strides", "dilations"))
    extra = numbers(s, "output_padding", rank, 0, 0)
    full = [(n - 1) * st + (k - 1) * d + 1 + e for n, st, k, d, e in zip(x[2:], strides, w[2:], dilations, extra, strict=True)]
    before, after = _crop(s, full, x[2:], strides, rank)
    size = tuple(f - b - a for f, b, a in zip(full, before, after, strict=True))
    if min(size) < 1:
        raise HwsimError(s.where, f"the output must be cut from {tuple(full)}", f"{size}")
    r.emit(s, "conv_transpose", s.inputs, {"group": group, "strides": strides, "dilations": dilations, "crop": before, "size": size})


def _crop(s: SourceNode, full: list[int], size: Shape, strides: tuple[int, ...], rank: int) -> tuple[list[int], list[int]]:
    """How many cells of the full output are cut off on each side."""
    wanted = s.attrs.get("output_shape")
    auto = choice(s, "auto_pad", AUTO_PADS, "NOTSET")
    if wanted is not None and len(wanted) not in (rank, rank + 2):
        raise HwsimError(s.where, f"output_shape must have {counted(rank, 'number')}", len(wanted))
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * st for n, st in zip(size, strides, strict=True)]
    if wanted is None:
        pads = numbers(s, "pads", 2 * rank, 0, 0)
        return ([0] * rank, [0] * rank) if auto == "VALID" else (pads[:rank], pads[rank:])
    total = [f - int(v) for f, v in zip(full, list(wanted)[-rank:], strict=True)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (small, large) if auto == "SAME_UPPER" else (large, small)


READS = {"ConvTranspose": _read}


def write(node: Node, operands: Operands) -> Written:
    """What the pads behind cannot cut is added by output_padding."""
    a, (x, w) = node.attrs, operands[:2]
    assert x is not None and w is not None
    loops = zip(x.shape[2:], a["strides"], w.shape[2:], a["dilations"], a["crop"], a["size"], strict=True)
    after = [(n - 1) * st + (k - 1) * d + 1 - before - size for n, st, k, d, before, size in loops]
    attrs = {"group": a["group"], "strides": list(a["strides"]), "dilations": list(a["dilations"])}
    attrs["pads"] = [*a["crop"], *(max(v, 0) for v in after)]
    return Written("ConvTranspose", node.inputs[:3], {**attrs, "output_padding": [max(-v, 0) for v in after]})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    return [((x.shape[0], w.shape[1] * node.attrs["group"], *node.attrs["size"]), x.format if x.quant is None else "float32")]


def loops(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> LoopNest:
    """Every input cell meets every kernel cell once: OY and OX are the input's size."""
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    spatial, kernel = (1, *x.shape[2:])[-2:], (1, *w.shape[2:])[-2:]
    group = node.attrs["group"]
    return LoopNest(x.shape[0], group, w.shape[1], w.shape[0] // group, spatial[0], spatial[1], kernel[0], kernel[1])


def _as_conv(node: Node, x: Array, w: Array, fill: Any) -> tuple[Node, Array, Array]:
    """The equal convolution: input cells `strides` apart with `fill` between, kernel turned around, inputs and outputs swapped."""
    a, rank = node.attrs, x.ndim - 2
    wide = np.full((*x.shape[:2], *((n - 1) * st + 1 for n, st in zip(x.shape[2:], a["strides"], strict=True))), fill, x.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, st) for st in a["strides"]))] = x
    groups, kernel = a["group"], w.shape[2:]
    turned = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, w.shape[0] // groups, w.shape[1], *kernel)
    turned = np.swapaxes(turned, 1, 2).reshape(groups * w.shape[1], w.shape[0] // groups, *kernel)
    reach = [(k - 1) * d for k, d in zip(kernel, a["dilations"], strict=True)]
    before = tuple(reach[i] - a["crop"][i] for i in range(rank))
    after = tuple(a["size"][i] + reach[i] - wide.shape[2 + i] - before[i] for i in range(rank))
    if min(before) < 0:
        cut = tuple(slice(max(-b, 0), None) for b in before)
        wide, before = wide[(slice(None), slice(None), *cut)], tuple(max(b, 0) for b in before)
    attrs = {
        "group": groups,
        "kernel": kernel,
        "strides": (1,) * rank,
        "up": a["strides"],
        "dilations": a["dilations"],
        "before": before,
        "after": after,
    }
    return replace(node, attrs={**node.attrs, **attrs}), wide, turned


def compute(node: Node, x: Array, w: Array, bias: Array | None = None, product: Callable[[Array, Array], Array] = np.matmul) -> Array:
    turned_node, wide, turned = _as_conv(node, x, w, 0)
    return conv.compute(turned_node, wide, turned, bias, product=product)


in_order = partial(compute, product=real_matmul)


def integer(step: Step, x: Array, w: Array, bias: Array | None = None) -> tuple[Array, int]:
    assert step.inputs[0] is not None and step.inputs[0].quant is not None
    turned_node, wide, turned = _as_conv(step.node, x, w, int(step.inputs[0].quant.zero_point))
    return conv.integer(replace(step, node=turned_node), wide, turned, bias)


def _axes(step: Step) -> tuple[Axis, Axis]:
    """The window of the equal convolution, whose input rows and columns lie `strides` apart."""
    a, w = step.node.attrs, step.inputs[1]
    assert w is not None
    reach = [(k - 1) * d - c for k, d, c in zip(w.shape[2:], a["dilations"], a["crop"], strict=True)]
    sizes = (conv.two(v, m) for v, m in ((w.shape[2:], 1), (a["dilations"], 1), (reach, 0), (a["strides"], 1)))
    rows, columns = (Axis(k, 1, d, p, u) for k, d, p, u in zip(*sizes, strict=True))
    return rows, columns


def halo(step: Step) -> tuple[tuple[int, int], ...]:
    """As for a convolution."""
    return conv.halo_of(step, _axes(step))


def kernel(step: Step, desk: Desk) -> bool:
    """The equal convolution; constant weights only."""
    x, w, y = step.inputs[0], step.inputs[1], step.outputs[0]
    assert x is not None and w is not None
    if w.constant is None or len(x.shape) > 4:
        return False
    weights = _turned_weights(w.constant.array, step.node.attrs["group"])
    return emit_mac(Mac(step, weights, *_axes(step), plane_of(desk.place(x)), plane_of(desk.place(y))), desk)


def real(step: Step, desk: Desk) -> bool:
    """The same of real numbers."""
    x, w = step.inputs[0], known(step.inputs[1])
    if x is None or w is None or len(x.shape) > 4 or not are_real(step.inputs):
        return False
    return emit_real_conv(step, desk, _turned_weights(w, step.node.attrs["group"]), _axes(step), halo(step))


def _turned_weights(w: Array, groups: int) -> Array:
    """Weights of the equal convolution, (groups, outputs, kernel rows, kernel columns, channels)."""
    flat = w if w.ndim == 4 else w[:, :, None]
    turned = np.flip(flat, (2, 3)).reshape(groups, flat.shape[0] // groups, *flat.shape[1:])
    return np.moveaxis(np.swapaxes(turned, 1, 2), 2, -1)
