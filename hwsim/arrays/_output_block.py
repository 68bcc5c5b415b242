"""Which block of outputs a block engine makes at a time: the one that fetches least, of those that fit its banks.

Equals FindBlockConfig of Arm's Vela 5.2.0 (regor, architecture/ethosu55/ethos_u55.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from hwsim.arrays._block_operation import BRICK, Operation, down, up
from hwsim.mac_array import BlockBuffer, MacArray
from hwsim.quant import Array

__all__ = ["SUBKERNEL", "OutputBlock", "choose_block", "micro_block"]

LARGEST, SUBKERNEL = (32, 64, 128), 8
SUM_BYTES = 4


@dataclass(frozen=True)
class OutputBlock:
    """Height, width and depth of a block of outputs and of the inputs that it needs at a time."""

    ofm: tuple[int, int, int]
    ifm: tuple[int, int, int]


def micro_block(array: MacArray) -> tuple[int, int, int]:
    """Height, width and depth of the outputs that the multipliers work on at a time."""
    u = array.unroll[0]
    return u.OY, u.OX, u.K


def choose_block(op: Operation, array: MacArray, buffer: BlockBuffer) -> OutputBlock | None:
    """The block of least fetches per output; None when none fits."""
    micro = micro_block(array)
    height, width, depth = (a.ravel() for a in np.meshgrid(*_ranges(op, micro), indexing="ij"))
    depth, height, width = height, width, depth
    ih, iw = (
        -(-((side - 1) * s + min(k, SUBKERNEL)) // m) * m
        for side, s, k, m in zip((height, width), op.stride, op.kernel, micro[:2], strict=True)
    )
    channels = depth if op.equal_depth else np.full_like(depth, up(min(op.ifm[2], 16 if op.part_kernel else 32), 8))
    rows = np.minimum(height, op.ofm[0]) if op.ofm[0] == op.kernel[0] == 1 and micro[0] == 2 else height
    fits = np.flatnonzero(_fits(op, buffer, rows * width, depth, ih * iw, channels))
    if not len(fits):
        return None
    height, width, depth, rows, ih, iw, channels = (a[fits] for a in (height, width, depth, rows, ih, iw, channels))
    cost = _cost(op, (rows, width, depth), ih * iw)
    cost = np.where(op.ifm[0] * op.ifm[1] * op.ifm[2] < 2 * ih * iw * channels, cost / np.float32(2), cost)
    at = _pick(op, cost, height, width, ih, iw)
    return OutputBlock((int(height[at]), int(width[at]), int(depth[at])), (int(ih[at]), int(iw[at]), int(channels[at])))


def _ranges(op: Operation, micro: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    """Depths, heights and widths to try; below the full depth a block takes whole bricks."""
    most = [up(min(n, limit), m) for n, limit, m in zip(op.ofm, LARGEST, micro, strict=True)]
    depths: list[int] = []
    depth = max(micro[2], min(most[2], BRICK))
    while True:
        depth = up(depth, BRICK) if depth < op.ofm[2] else depth
        if depth > most[2]:
            return np.array(depths), np.arange(micro[0], most[0] + 1, micro[0]), np.arange(micro[1], most[1] + 1, micro[1])
        depths.append(depth)
        depth += micro[2]


def _fits(op: Operation, buffer: BlockBuffer, area: Array, depth: Array, ifm_area: Array, channels: Array) -> Array:
    """Two input blocks and two blocks of sums, in granules of banks, beside the banks of outputs and tables."""
    bank = buffer.bank // 8
    inputs = _rounded(2 * -(-ifm_area * (-(-channels // 8) * 8) // bank), buffer.input_granule)
    sums = _rounded(2 * -(-area * (-(-depth // 8) * 8) * SUM_BYTES // bank), buffer.sum_granule)
    return buffer.output_banks + inputs + (inputs if op.kind == "elementwise" else sums) <= buffer.banks - buffer.reserved_banks


def _rounded(count: Array, granule: int) -> Array:
    return -(-count // granule) * granule


def _cost(op: Operation, block: tuple[Array, Array, Array], ifm_area: Array) -> Array:
    """Inputs and weights fetched per output element, in single precision as the source has it, so that ties are the same ones."""
    f32 = np.float32
    outputs = op.ofm[0] * op.ofm[1] * op.ofm[2]
    if op.kind == "elementwise":
        return f32(outputs) / (block[0] * block[1] * block[2]).astype(f32)
    whole = [-(-n // b) for n, b in zip(op.ofm, block, strict=True)]
    part = [f32(n) / b.astype(f32) for n, b in zip(op.ofm, block, strict=True)]
    taps = op.kernel[0] * op.kernel[1] if op.kind in ("conv", "depthwise") else 0
    weights = (taps * op.ifm[2] * whole[0] * whole[1]).astype(f32)
    if op.kind != "depthwise":
        weights = weights * (part[2] * block[2].astype(f32))
    repeats = down(op.kernel[0], SUBKERNEL) * down(op.kernel[1], SUBKERNEL)
    inputs = (ifm_area * op.ifm[2] * repeats).astype(f32) * part[0] * part[1]
    if not op.equal_depth:
        inputs = inputs * whole[2].astype(f32)
    fetched: Array = (inputs + weights) / f32(outputs)
    return fetched


def _pick(op: Operation, cost: Array, height: Array, width: Array, ih: Array, iw: Array) -> int:
    """The first of the cheapest; of equals later on, the last small one (4 x 4 at most) that covers the input best."""
    first = int(np.argmin(cost))
    covered = (op.ifm[0] * op.ifm[1]) / np.maximum(np.minimum(op.ifm[0], ih) * np.minimum(op.ifm[1], iw), 1)
    equal = (cost == cost[first]) & (height <= 4) & (width <= 4) & (np.arange(len(cost)) > first)
    if not equal.any():
        return first
    least = np.where(equal, covered, inf)
    return int(np.flatnonzero(least == least.min())[-1])
