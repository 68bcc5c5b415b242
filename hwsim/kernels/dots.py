"""The inner step of a micro-kernel: products of a few input channels of some pixels with weights of some vectors of outputs.

A `Dot` names how activations and weights are stored and writes one step of the innermost loop.  The micro-kernel (`tile`) owns
everything else: addresses, loops, the way out.  Adding a width is adding a `Dot`; `packing.packed` lays out its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.lanes import BITS, Lanes

__all__ = ["PAIRS", "U8S8", "WORDS", "Dot", "Sums", "best", "quads", "u8s8_product"]

Sums = list[list[Lanes]]


@dataclass(frozen=True)
class Dot:
    """One step: `step(k, sums, pixels, weights)` gives sums[m][j] plus the products of `channels` input channels.

    `pixels` are the addresses of the step's activations, one per row of the tile, `weights` the address of its weights:
    [vectors][lanes][w_bytes].  A step reads `x_bytes` of each pixel.  With `close` the sums begin at 0, `kept(vectors)` for each row of
    the tile (as many as vectors), and close(sums, start) gives what a row's mean; without it they begin at `start`.
    `multiply(sums, numbers, weights)` is the product alone, of vectors; `most` vectors of outputs are in a tile (0: any number).
    Sums are of the kind `held`.  `apart` is how many bytes of activations further each output channel begins (0: all read the same).
    """

    name: str
    channels: int
    x_bytes: int
    w_bytes: int
    step: Callable[[Code, Sums, list[Lanes], Lanes], Sums]
    close: Callable[[list[Lanes], list[Lanes]], list[Lanes]] | None = None
    multiply: Callable[[Lanes, Lanes, Lanes], Lanes] | None = None
    kept: Callable[[int], int] = int
    most: int = 0
    held: str = "i32"
    apart: int = 0

    @property
    def lanes(self) -> int:
        """Sums in a vector register."""
        return host.lanes() * BITS["i32"] // BITS[self.held]

    def __repr__(self) -> str:
        return f"{self.name}[{host.lanes()}]"


def _u8s8(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    lanes = sums[0][0].lanes
    return u8s8_product(k, sums, pixels, [k.load("i32", weights + 4 * lanes * j, lanes) for j in range(len(sums[0]))])


def u8s8_product(k: Code, sums: Sums, pixels: list[Lanes], columns: list[Lanes]) -> Sums:
    """Four bytes of every pixel by four of every output."""
    lanes, made = sums[0][0].lanes, []
    for row, pixel in zip(sums, pixels, strict=True):
        four = k.load("i32", pixel).spread(lanes).bits("u8")
        made.append([quads(s, four, w.bits("u8")) for s, w in zip(row, columns, strict=True)])
    return made


def quads(total: Lanes, numbers: Lanes, weights: Lanes) -> Lanes:
    """AVX-512 VNNI vpdpbusd: four unsigned by four signed bytes to each 32-bit sum, which wraps."""
    return total.intrinsic(f"llvm.x86.avx512.vpdpbusd.{32 * total.lanes}", total, numbers, weights)


def _pairs(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    lanes = sums[0][0].lanes
    columns = [k.load("i16", weights + 4 * lanes * j, 2 * lanes) for j in range(len(sums[0]))]
    made = []
    for row, pixel in zip(sums, pixels, strict=True):
        two = k.load("i32", pixel).spread(lanes).bits("i16")
        made.append([pairs(s, two, w) for s, w in zip(row, columns, strict=True)])
    return made


def pairs(total: Lanes, numbers: Lanes, weights: Lanes) -> Lanes:
    """Two 16-bit numbers by two: the form that becomes vpdpwssd, vpmaddwd, pmaddwd or smull, whatever the processor has."""
    products = numbers.to("i32") * weights.to("i32")
    even, odd = [2 * i for i in range(total.lanes)], [2 * i + 1 for i in range(total.lanes)]
    return total + (products.shuffle(even) + products.shuffle(odd))


U8S8 = Dot("u8s8", 4, 4, 4, _u8s8, multiply=quads)
PAIRS = Dot("pairs", 2, 4, 4, _pairs, multiply=pairs)
WORDS = Dot("words", 1, 4, 2, _pairs)


def best() -> Dot:
    """The fastest step for 8-bit numbers that the processor has."""
    return U8S8 if host.has("avx512vnni", "avx512vl") else PAIRS
