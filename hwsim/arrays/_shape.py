"""A layer's loops as a matrix product, and what its windows touch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from hwsim.mac_array import LOOPS
from hwsim.program import Layer, LoopNest

__all__ = ["Product", "fetched_inputs", "loops_of", "product"]

WEIGHT_LOOPS = ("G", "K", "C", "FY", "FX")


@dataclass(frozen=True)
class Product:
    """`groups` matrix products of m x k by k x n: m output positions, n outputs and k products in a sum."""

    groups: int
    m: int
    n: int
    k: int

    @property
    def outputs(self) -> int:
        return self.groups * self.m * self.n


def loops_of(layer: Layer) -> LoopNest:
    """The loops of a layer that runs on an array."""
    assert layer.loops is not None, "an array runs layers with loops"
    return layer.loops


def product(layer: Layer) -> Product:
    """The layer as im2col lays it out."""
    loops = loops_of(layer)
    return Product(loops.G, loops.N * loops.OY * loops.OX, loops.K, loops.C * loops.FY * loops.FX)


def fetched_inputs(layer: Layer, width: dict[str, int]) -> int:
    """Input elements under `width` rounds of each loop: rows and columns that windows share are fetched once."""
    a = layer.steps[0].node.attrs
    stride, dilation = ((1, 1, *a.get(k, ()))[-2:] for k in ("strides", "dilations"))
    spans = [(width[o] - 1) * stride[i] + (width[f] - 1) * dilation[i] + 1 for i, (o, f) in enumerate((("OY", "FY"), ("OX", "FX")))]
    apart = [width[o] * width[f] for o, f in (("OY", "FY"), ("OX", "FX"))]
    return width["G"] * width["C"] * width["N"] * prod(min(s, p) for s, p in zip(spans, apart, strict=True))


def trips_of(loops: LoopNest, spread: dict[str, int]) -> dict[str, int]:
    """Rounds of each loop one after the other when `spread` of them run side by side."""
    return {d: -(-loops.size(d) // spread.get(d, 1)) for d in LOOPS}
