"""Tiles with the least traffic from the level outside, over powers of two in each loop; the sums stay inside.

With the channels not split, one operand's tile can stay while the other streams, so it is read once; sums never leave.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.mapping import Problem, Tiling
from hwsim.quant import Array

__all__ = ["tile", "tile_bits"]


def _steps(n: int) -> list[int]:
    """1, 2, 4, ... and n."""
    return [*(1 << i for i in range((n - 1).bit_length())), n]


def input_rows(p: Problem, rows: Array) -> Array:
    """Input rows under `rows` output rows."""
    return np.minimum((rows - 1) * p.stride + p.kernel_rows, p.input_rows)


def tile_bits(p: Problem, g: Array, k: Array, c: Array, r: Array) -> dict[str, Array]:
    """Size of a tile of each operand; outputs are partial sums while the channels are split."""
    out_bits = np.where(c < p.channels, p.sum_bits, p.output_bits)
    return {
        "weights": g * k * c * p.kernel * p.weight_bits,
        "inputs": g * c * input_rows(p, r) * p.row_elements * p.input_bits,
        "outputs": g * k * r * p.inner * out_bits,
    }


def traffic_bits(p: Problem, g: Array, k: Array, c: Array, r: Array, inputs_stay: Array) -> dict[str, Array]:
    """Bits that each operand brings in (outputs: takes out) over all tiles.

    `inputs_stay`: the outer loop walks over input rows and the weights stream past; otherwise the weights stay.
    """
    ng, nk, nr = -(-p.groups // g), -(-p.outputs // k), -(-p.rows // r)
    whole = c >= p.channels
    weights = p.groups * p.outputs * p.channels * p.kernel * p.weight_bits
    last = p.rows - (nr - 1) * r
    inputs = p.groups * p.channels * ((nr - 1) * input_rows(p, r) + input_rows(p, last)) * p.row_elements * p.input_bits
    weight_trips = np.where(inputs_stay | ~whole, nr, 1)
    input_trips = np.where(inputs_stay & whole, 1, nk)
    return {
        "weights": weights * np.where(nr == 1, 1, weight_trips),
        "inputs": inputs * np.where(nk == 1, 1, input_trips),
        "outputs": (p.groups * p.outputs * p.rows * p.inner * p.output_bits) * np.ones_like(ng),
    }


def tile(p: Problem, capacities: Mapping[tuple[str, ...], int | None], buffers: Mapping[str, int]) -> Tiling:
    """The tiling with the least traffic; of equals the one with the fewest tiles.  `fits` is False when not even one cell fits."""
    axes = np.meshgrid(_steps(p.groups), _steps(p.outputs), _steps(p.channels), _steps(p.rows), [0, 1], indexing="ij")
    g, k, c, r, stay = (a.ravel() for a in axes)
    sizes = tile_bits(p, g, k, c, r)
    legal = np.ones(len(g), bool)
    for operands, capacity in capacities.items():
        if capacity is not None:
            legal &= sum(sizes[o] * buffers[o] for o in operands) <= capacity
    moved = traffic_bits(p, g, k, c, r, stay == 1)
    inside = {o for operands in capacities for o in operands}
    cost = sum((moved[o] for o in inside), np.zeros(len(g), np.int64))
    trips = -(-p.groups // g) * -(-p.outputs // k) * -(-p.channels // c) * -(-p.rows // r)
    order = np.lexsort((trips, cost, ~legal))
    best = int(order[0]) if legal.any() else 0
    return Tiling(
        int(g[best]),
        int(k[best]),
        int(c[best]),
        int(r[best]),
        "inputs" if stay[best] else "weights",
        int(trips[best]),
        bool(legal.any()),
        {o: int(sizes[o][best]) * buffers[o] for o in inside},
    )
