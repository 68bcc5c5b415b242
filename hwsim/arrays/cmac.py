"""NVDLA's convolution core, as its vendor's performance sheet counts it.

Strided convolutions fold the stride into the channels: C' = ru(C s s, block.C), and outputs pad to block.K:
cycles = C' OY OX ru(K, block.K) FY FX / (s s multipliers speed), with the Winograd speed for its kernel size at any stride.
A fully-connected layer works on its whole batch at a time: ru(K N, block.K) / N per frame.
"""

from __future__ import annotations

from math import ceil

from hwsim.arrays._shape import loops_of, product
from hwsim.mac_array import BlockSize, MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["folded_channels", "uses_winograd", "work"]


def work(array: MacArray, layer: Layer, clock_hz: float, batch: int = 1) -> Work:
    """Cycles by the sheet's formula; slots are the MACs of direct convolution that they could have done.

    `batch` frames share the weights of a fully-connected layer; the cycles are one frame's.
    """
    p, u, loops = product(layer), array.unroll[0], loops_of(layer)
    granule = (array.block or BlockSize(C=u.C, K=u.K)).K
    fast = uses_winograd(array, layer)
    speed = array.winograd.speed if fast and array.winograd else 1.0
    frames = p.m * batch if layer.op == "matmul" else 1
    outputs = p.m * -(-p.n * frames // granule) * granule / frames
    padded = p.groups * folded_channels(array, layer) * loops.FY * loops.FX * outputs
    cycles = ceil(padded / (stride_of(layer) ** 2 * u.multipliers * layer.rate * u.rate * speed))
    slots = max(ceil(cycles * u.multipliers * layer.rate * speed), p.outputs * p.k)
    reads = {"inputs": p.groups * p.m * p.k * ceil(p.n / u.K), "weights": p.groups * p.n * p.k}
    return Work(u.loops, {"multiply": cycles}, slots, slots, reads, {"outputs": p.outputs}, "winograd" if fast else "")


def folded_channels(array: MacArray, layer: Layer) -> int:
    """Input channels with the stride folded into them, padded to the granule."""
    granule = (array.block or BlockSize(C=array.unroll[0].C)).C
    return -(-loops_of(layer).C * stride_of(layer) ** 2 // granule) * granule


def stride_of(layer: Layer) -> int:
    """The stride along the width; 1 for a matrix product."""
    return int((1, *layer.steps[0].node.attrs.get("strides", ()))[-1])


def uses_winograd(array: MacArray, layer: Layer) -> bool:
    """Whether the layer's kernel is multiplied in the Winograd domain."""
    loops = loops_of(layer)
    return array.winograd is not None and loops.FY == loops.FX == array.winograd.kernel
