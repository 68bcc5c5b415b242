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
from hwsim.ops._mac_plan import Mac, Phase, way_out
from hwsim.ops._route_tiles import any_order_dot, offsets_table, widened, wrapped32
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
    together = _together(dot, rows, columns)
    pixels, weights = _woven(mac.removed[first : first + count, 0, :, :, 0], rows, columns, together)
    groups = -(-len(pixels) // dot.channels)
    padded = np.append(pixels, np.repeat(pixels[-1:], groups * dot.channels - len(pixels), 0), 0)
    columns_at = [*range(0, columns.count - together + 1, together)]
    columns_at += [columns.count - together] if columns.count % together else []
    e, zero = mac.epilogue, mac.x_zero - x.bias
    start = e.bias[first : first + count] - zero * mac.removed[first : first + count].sum((1, 2, 3, 4), dtype=np.int64)
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
        "groups": groups,
        "channels": count,
        "tap_table": desk.keep((padded[:, 0] * x.row + padded[:, 1] * x.column).astype(np.int32)),
        "weights": desk.keep(_packed(weights, dot, lanes, groups, desk.memory)),
        "start": desk.keep(wrapped32(start[places])),
        **way_args,
    }
    desk.call_named(Kernel(depthwise, (dot, lanes, together, way)), DEPTHWISE_ARGS, args)


def _together(dot: Dot, rows: Phase, columns: Phase) -> int:
    """Outputs at once: two where their windows overlap so far that they weave few more pixels than one."""
    one, two = (-(-len(_pixels(rows, columns, p)) // dot.channels) for p in (1, 2))
    return 2 if columns.count > 1 and two < 2 * one else 1


def _pixels(rows: Phase, columns: Phase, together: int) -> list[tuple[int, int]]:
    """Row and column of every input that the windows of so many neighbouring outputs meet."""
    across = sorted({s + p * columns.stride for _, s in columns.taps for p in range(together)})
    return [(sy, sx) for _, sy in rows.taps for sx in across]


def _woven(weights: Array, rows: Phase, columns: Phase, together: int) -> tuple[Array, Array]:
    """The pixels of a tile, and the weight (channels, outputs, pixels) of each pixel in each output."""
    pixels = _pixels(rows, columns, together)
    at, laid = {p: i for i, p in enumerate(pixels)}, np.zeros((len(weights), together, len(pixels)), np.int64)
    for ky, sy in rows.taps:
        for kx, sx in columns.taps:
            for p in range(together):
                laid[:, p, at[sy, sx + p * columns.stride]] = weights[:, ky, kx]
    return np.array(pixels), laid


def _places(dot: Dot, lanes: int, count: int) -> Array:
    """The channel at each packed place of all blocks; places behind the last channel repeat it."""
    block = lanes * dot.channels
    blocks = np.arange(-(-count // block))[:, None] * block
    return np.minimum((blocks + np.array(order(dot, lanes))).ravel(), count - 1)


def _packed(weights: Array, dot: Dot, lanes: int, groups: int, memory: Memory) -> Array:
    """Weights as [block][group][output][vector and lane][tap]."""
    count, together, pixels = weights.shape
    taps, places = dot.channels, _places(dot, lanes, count)
    full = np.zeros((len(places), together, groups * taps), {1: np.int8, 2: np.int16}[dot.w_bytes // taps])
    full[:, :, :pixels] = weights[places]
    laid = full.reshape(-1, lanes * taps, together, groups, taps).transpose(0, 3, 2, 1, 4)
    held = memory.take(laid.size * full.itemsize).view(full.dtype)
    held.reshape(laid.shape)[...] = laid
    return held
