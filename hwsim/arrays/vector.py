"""Lanes that each make one output at a time: all outputs in one row, so that only the last vector is not full.

How vector units do depthwise convolutions and small matrix-vector products: a lane reads an input and a weight for each product.
"""

from __future__ import annotations

from math import ceil

from hwsim.arrays._shape import product
from hwsim.mac_array import MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["work"]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """One multiply-accumulate per lane and step."""
    p, lanes = product(layer), array.unroll[0].multipliers
    steps = ceil(p.outputs / lanes) * p.k
    macs = p.outputs * p.k
    cycles = ceil(steps / (layer.rate * array.unroll[0].rate))
    loops = array.unroll[0].loops
    return Work(loops, {"multiply": cycles}, steps * lanes, steps * lanes, {"inputs": macs, "weights": macs}, {"outputs": p.outputs})
