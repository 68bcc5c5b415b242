"""Depthwise convolutions whose sums fit in 32 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.depthwise import DEPTHWISE_ARGS, depthwise, order
from hwsim.kernels.dots import U8S8, Dot
from hwsim.kernels.memory import Memory
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import offsets_table, wrapped32
from hwsim.ops._mac_plan import Mac, way_out
from hwsim.ops._route_tiles import any_order_dot, widened
from hwsim.ops._weave import best_weave
from hwsim.quant import Array

__all__ = ["by_channel"]


def by_channel(mac: Mac, desk: Desk) -> bool:
    """The route: one input and one output channel in each of several groups."""
    dot = any_order_dot(mac) if mac.outputs == mac.weights.shape[-1] == 1 and mac.groups > 1 else None
    if dot is None or (mac.rows.up, mac.columns.up) != (1, 1):
        return False
    narrow = dot is U8S8 or mac.x.kind == "i16"
    own = mac if narrow else replace(mac, x=widened(mac.x, desk))
    first = 0
    while first < mac.groups:
        lanes = _lanes(dot, mac.groups - first)
        block = lanes * dot.channels
        count = min(mac.groups - first, max((mac.groups - first) // block, 1) * block)
        _emit(own, desk, dot, lanes, first, count)
        first += count
    return True


def _lanes(dot: Dot, left: int) -> int:
    """The widest vectors that the channels left fill, or the narrowest."""
    lanes = host.lanes()
    while lanes > 4 and left <= lanes * dot.channels // 2:
        lanes //= 2
    return lanes


def _emit(mac: Mac, desk: Desk, dot: Dot, lanes: int, first: int, count: int) -> None:
    """The channels from `first` on."""
    x, y, ((rows, columns),) = mac.x, mac.y, mac.phases()
    own, weave = mac.removed[first : first + count, 0, :, :, 0], best_weave(rows, columns, dot.channels)
    columns_at = [*range(0, columns.count - weave.outputs + 1, weave.outputs)]
    columns_at += [columns.count - weave.outputs] if columns.count % weave.outputs else []
    e, zero = mac.epilogue, mac.x_zero - x.bias
    start = e.bias[first : first + count] - zero * own.sum((1, 2), dtype=np.int64)
    places = _places(dot, lanes, count)
    turned = replace(e, parameters=tuple(p[first : first + count][places] for p in e.parameters))
    way, way_args = way_out(desk, turned, y.kind, y.bias, 1)
    args = {
        "x": x.offset + first * x.size,
        "y": y.offset + first * y.size,
        "images": x.images,
        "x_image": x.image,
        "y_image": y.image,
        "x_table": desk.keep(offsets_table(np.arange(rows.count) * rows.stride * x.row, np.array(columns_at) * columns.stride * x.column)),
        "y_table": desk.keep(offsets_table(np.arange(rows.count) * y.row, np.array(columns_at) * y.column)),
        "tiles": rows.count * len(columns_at),
        "y_next": y.column,
        "repeats": weave.repeats,
        "channels": count,
        "tap_table": desk.keep((np.array(weave.groups).reshape(-1, 2) @ (x.row, x.column)).astype(np.int32)),
        "weights": desk.keep(_packed(weave.weights(own)[places], dot, lanes, desk.memory)),
        "start": desk.keep(wrapped32(start[places])),
        **way_args,
    }
    desk.call_named(Kernel(depthwise, (dot, lanes, weave.outputs, weave.steps, way)), DEPTHWISE_ARGS, args)


def _places(dot: Dot, lanes: int, count: int) -> Array:
    """The channel at each packed place of all blocks; places behind the last channel repeat it."""
    block = lanes * dot.channels
    blocks = np.arange(-(-count // block))[:, None] * block
    return np.minimum((blocks + np.array(order(dot, lanes))).ravel(), count - 1)


def _packed(weights: Array, dot: Dot, lanes: int, memory: Memory) -> Array:
    """Weights (places, parts, taps) as [block][part][vector and lane][tap]."""
    taps = dot.channels
    laid = weights.reshape(-1, lanes * taps, weights.shape[1], taps).transpose(0, 2, 1, 3)
    dtype = {1: np.int8, 2: np.int16}[dot.w_bytes // taps]
    held = memory.take(laid.size * np.dtype(dtype).itemsize).view(dtype)
    held.reshape(laid.shape)[...] = laid
    return held
