"""A systolic array of rows x columns, operands skewed in from its edges: SCALE-Sim 3.0 to the cycle.

With M output positions, N outputs and K products in a sum, each fold (what the array holds at a time) takes
`output_stationary`  K + R + C - 2      over ceil(M/R) ceil(N/C) folds   (scalesim/compute/systolic_compute_os.py)
`weight_stationary`  M + 2R + C - 2     over ceil(K/R) ceil(N/C) folds   (systolic_compute_ws.py)
`input_stationary`   N + 2R + C - 2     over ceil(K/R) ceil(M/C) folds   (systolic_compute_is.py)
and the last one ends a cycle earlier.  The groups of a grouped or depthwise convolution follow one another.
"""

from __future__ import annotations

from math import ceil

from hwsim.arrays._shape import Product, product
from hwsim.mac_array import MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Cycles, slots and SRAM counts of all folds."""
    u, p = array.unroll[0], product(layer)
    rows, columns, stream, fill = _held(array.dataflow, p, u.rows, u.columns)
    down, across = ceil(rows / u.rows), ceil(columns / u.columns)
    cycles = p.groups * (down * across * (stream + fill) - 1)
    size = u.rows * u.columns
    reads, sums = _reads(array.dataflow, p, down, across)
    mapped = p.groups * down * across * stream * size
    stages = {"multiply": ceil(cycles / layer.rate)}
    moved = {"sums": p.groups * sums} if sums else {}
    counts = {o: p.groups * n for o, n in reads.items()}
    slots = max(cycles * size, p.outputs * p.k)
    return Work({"rows": u.rows, "columns": u.columns}, stages, slots, mapped, {**counts, **moved}, {"outputs": p.outputs, **moved})


def _held(dataflow: str, p: Product, rows: int, columns: int) -> tuple[int, int, int, int]:
    """What lies along rows and columns, how much streams past it, and the cycles of filling and draining."""
    if dataflow == "output_stationary":
        return p.m, p.n, p.k, rows + columns - 2
    fill = 2 * rows + columns - 2
    return (p.k, p.n, p.m, fill) if dataflow == "weight_stationary" else (p.k, p.m, p.n, fill)


def _reads(dataflow: str, p: Product, down: int, across: int) -> tuple[dict[str, int], int]:
    """Elements of one group read from the SRAMs, and partial sums written and read again between folds over the reduction."""
    inputs, weights = p.m * p.k, p.k * p.n
    if dataflow == "output_stationary":
        return {"inputs": inputs * across, "weights": weights * down}, 0
    sums = p.m * p.n * (down - 1)
    if dataflow == "weight_stationary":
        return {"inputs": inputs * across, "weights": weights}, sums
    return {"inputs": inputs, "weights": weights * across}, sums
