"""Inner steps for numbers of one, two and four bits: bits compared and counted, and packed weights unpacked in registers."""

from __future__ import annotations

from functools import partial

from hwsim.kernels.code import Code
from hwsim.kernels.dots import Dot, Sums, u8s8_product
from hwsim.kernels.lanes import Lanes

__all__ = ["BINARY", "PACKED", "TERNARY"]


def _binary(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    """How many of 32 channels have other signs than the weights; the product of {-1, +1} is K - 2 of that (XNOR-Net, Rastegari 2016)."""
    lanes = sums[0][0].lanes
    columns = [k.load("i32", weights + 4 * lanes * j, lanes) for j in range(len(sums[0]))]
    words = [k.load("i32", p).spread(lanes) for p in pixels]
    return [[s + (x ^ w).call("ctpop") for s, w in zip(row, columns, strict=True)] for row, x in zip(sums, words, strict=True)]


def _ternary(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    """{-1, 0, +1} as a word of non-zeros and a word of signs: count of non-zero products less twice that of negative ones."""
    lanes = sums[0][0].lanes
    columns = [[k.load("i32", weights + 4 * lanes * (2 * j + i), lanes) for i in (0, 1)] for j in range(len(sums[0]))]
    made = []
    for row, pixel in zip(sums, pixels, strict=True):
        some, negative = (k.load("i32", pixel + 4 * i).spread(lanes) for i in (0, 1))
        there = [some & w[0] for w in columns]
        less = [t & (negative ^ w[1]) for t, w in zip(there, columns, strict=True)]
        made.append([s + t.call("ctpop") - (n.call("ctpop") << 1) for s, t, n in zip(row, there, less, strict=True)])
    return made


def _packed(bits: int, k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    """Unsigned bytes by weights of `bits` bits, four channels a lane and 8 / bits groups of channels a byte.

    A field shifted to the top of its byte and cut out is the weight times 2^(8 - bits), so sums come out as much too large.
    """
    lanes = sums[0][0].lanes
    held = [k.load("i32", weights + 4 * lanes * j, lanes) for j in range(len(sums[0]))]
    top = (256 - (1 << (8 - bits))) * 0x01010101 - (1 << 32)
    for u in range(8 // bits):
        columns = [((w << (8 - bits * (u + 1))) if bits * (u + 1) < 8 else w) & top for w in held]
        sums = u8s8_product(k, sums, [p + 4 * u for p in pixels], columns)
    return sums


def _scaled(by: int, sums: Lanes, start: Lanes) -> Lanes:
    return (sums >> by) + start


BINARY = Dot("binary", 1, 4, 4, _binary, lambda acc, start: start - (acc << 1))
TERNARY = Dot("ternary", 2, 8, 8, _ternary)
PACKED = {bits: Dot(f"u8s{bits}", 32 // bits, 32 // bits, 4, partial(_packed, bits), partial(_scaled, 8 - bits)) for bits in (4, 2)}
