"""What tiles take and what they move: sizes, loop orders and refetches of one level of memories.

K, R and C walk over tiles of outputs, rows and channels; groups lie outside of them.  An operand's tile is fetched again for every
trip of a loop that does not index it, when a loop that does runs inside of that one (Timeloop, Parashar et al., ISPASS 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.mapping import ORDERS, Problem, Tiling
from hwsim.quant import Array

__all__ = ["chosen", "input_rows", "inside", "moved_elements", "sized", "tile_bits", "tile_elements", "traffic_bits"]

IRRELEVANT = {"weights": "R", "inputs": "K", "outputs": "C"}


def input_rows(p: Problem, rows: Array) -> Array:
    """Input rows under `rows` output rows."""
    return np.minimum((rows - 1) * p.stride + p.kernel_rows, p.input_rows)


def tile_elements(p: Problem, g: Array, k: Array, c: Array, r: Array) -> dict[str, Array]:
    """Elements of a tile of each operand."""
    return {"weights": g * k * c * p.kernel, "inputs": g * c * input_rows(p, r) * p.row_elements, "outputs": g * k * r * p.inner}


def tile_bits(p: Problem, g: Array, k: Array, c: Array, r: Array) -> dict[str, Array]:
    """Size of a tile of each operand; outputs are partial sums while the channels are split."""
    return sized(p, tile_elements(p, g, k, c, r), c)


def sized(p: Problem, tiles: Mapping[str, Array], c: Array) -> dict[str, Array]:
    """Elements of tiles in bits."""
    out_bits = np.where(c < p.channels, p.sum_bits, p.output_bits)
    return {"weights": tiles["weights"] * p.weight_bits, "inputs": tiles["inputs"] * p.input_bits, "outputs": tiles["outputs"] * out_bits}


def moved_elements(p: Problem, g: Array, k: Array, c: Array, r: Array, order: str) -> dict[str, Array]:
    """Elements that come and go over all tiles in one loop order: `sums` are those that come back in, besides the results."""
    trips = {"K": -(-p.outputs // k), "C": -(-p.channels // c), "R": -(-p.rows // r)}
    last = p.rows - (trips["R"] - 1) * r
    rows = (trips["R"] - 1) * input_rows(p, r) + input_rows(p, last)
    again = {o: _refetches(trips, order, loop) for o, loop in IRRELEVANT.items()}
    results = p.groups * p.outputs * p.rows * p.inner
    return {
        "weights": p.groups * p.outputs * p.channels * p.kernel * again["weights"],
        "inputs": p.groups * p.channels * rows * p.row_elements * again["inputs"],
        "outputs": results * np.ones_like(again["outputs"]),
        "sums": results * (again["outputs"] - 1),
    }


def traffic_bits(p: Problem, moved: Mapping[str, Any]) -> dict[str, Any]:
    """Bits that weights and inputs bring in, that outputs take out, and that `sums` bring back in, of elements that move."""
    sums = moved["sums"] * p.sum_bits
    return {
        "weights": moved["weights"] * p.weight_bits,
        "inputs": moved["inputs"] * p.input_bits,
        "outputs": moved["outputs"] * p.output_bits + sums,
        "sums": sums,
    }


def _refetches(trips: Mapping[str, Array], order: str, loop: str) -> Array:
    """How often each tile of an operand that `loop` does not index comes: once per trip, if another loop turns inside."""
    turning = np.zeros(np.shape(trips[loop]), bool)
    for inner in order[order.index(loop) + 1 :]:
        turning = turning | (trips[inner] > 1)
    return np.where(turning, trips[loop], 1)


def chosen(p: Problem, sizes: tuple[int, int, int, int], order: str, buffers: Mapping[str, int], operands: set[str], fits: bool) -> Tiling:
    """The tiling of groups, outputs, channels and rows in one order."""
    g, k, c, r = sizes
    bits = tile_bits(p, *(np.asarray(s) for s in sizes))
    trips = -(-p.groups // g) * -(-p.outputs // k) * -(-p.channels // c) * -(-p.rows // r)
    assert order in ORDERS
    return Tiling(g, k, c, r, order, trips, fits, {o: int(bits[o]) * buffers[o] for o in bits if o in operands})


def inside(p: Problem, t: Tiling) -> Problem:
    """A tile as the problem of the next level."""
    rows = int(min((t.rows - 1) * p.stride + p.kernel_rows, p.input_rows))
    split = t.channels < p.channels
    return replace(
        p,
        groups=t.groups,
        outputs=t.outputs,
        channels=t.channels,
        rows=t.rows,
        input_rows=rows,
        output_bits=p.sum_bits if split else p.output_bits,
    )
