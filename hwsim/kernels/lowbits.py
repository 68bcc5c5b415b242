"""Inner steps for numbers of one, two and four bits: bits compared and counted, and packed weights unpacked in registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hwsim.kernels.code import Code
from hwsim.kernels.dots import Dot, Sums, quads, u8s8_product
from hwsim.kernels.lanes import Lanes

__all__ = ["ALONE", "BINARY", "FIELD", "FLIPPED", "PACKED", "TERNARY", "unpacked"]

FIELD = 64  # weights side by side that share the bytes of a vector with as many others


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


def _in_place(bits: int, k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes) -> Sums:
    """`_packed` for a lone pixel without shifts: a sum for each field, cut out where it lies, and one for what it is too large by.

    The highest field has a sign; the others hold half of their range more than the weight (`FLIPPED`), which comes off again as a
    product of the same activations.
    """
    (row,), lanes, parts = sums, sums[0][0].lanes, 8 // bits
    vectors, made = len(row) // parts, list[Lanes]()
    held = [k.load("i32", weights + 4 * lanes * j, lanes) for j in range(vectors)]
    fours = [k.load("i32", pixels[0] + 4 * f).spread(lanes).bits("u8") for f in range(parts)]
    for f, four in enumerate(fours):
        own, mask = row[f * vectors : (f + 1) * vectors], _bytes(((1 << bits) - 1) << (bits * f))
        made += [quads(s, four, (w & mask).bits("u8")) for s, w in zip(own, held, strict=True)]
    for f, less in enumerate(row[parts * vectors :]):
        made.append(quads(less, fours[f], less.constant(_bytes(-(1 << (bits * (f + 1) - 1)))).bits("u8")))
    return [made]


def _bytes(value: int) -> int:
    """The word of four equal bytes, as a signed number."""
    word = (value & 255) * 0x01010101
    return word - (1 << 32) if word >> 31 else word


def _kept(bits: int, vectors: int) -> int:
    """Sums of a row: of every field by vectors, then of every field but the highest what it is too large by."""
    return 8 // bits * (vectors + 1) - 1


def _joined(bits: int, sums: list[Lanes], start: list[Lanes]) -> list[Lanes]:
    """The sums of all fields, each moved down from its place."""
    vectors, parts, total = len(start), 8 // bits, list(start)
    for f in range(parts):
        less = sums[parts * vectors + f :][:1] if f < parts - 1 else []
        fields = [sum(less, s) for s in sums[f * vectors : (f + 1) * vectors]]
        total = [t + (s >> (bits * f)) for t, s in zip(total, fields, strict=True)]
    return total


def _each(close: Callable[[Lanes, Lanes], Lanes]) -> Callable[[list[Lanes], list[Lanes]], list[Lanes]]:
    return lambda sums, start: [close(s, b) for s, b in zip(sums, start, strict=True)]


def _scaled(by: int, sums: Lanes, start: Lanes) -> Lanes:
    return (sums >> by) + start


FLIPPED = {4: 0x08, 2: 0x2A}  # the highest bit of every field but the highest
BINARY = Dot("binary", 1, 4, 4, _binary, _each(lambda acc, start: start - (acc << 1)))
TERNARY = Dot("ternary", 2, 8, 8, _ternary)
PACKED = {b: Dot(f"u8s{b}", 32 // b, 32 // b, 4, partial(_packed, b), _each(partial(_scaled, 8 - b))) for b in (4, 2)}
ALONE = {
    b: replace(PACKED[b], name=f"u8s{b}_alone", step=partial(_in_place, b), close=partial(_joined, b), kept=partial(_kept, b), most=2 * b)
    for b in (4, 2)
}


def unpacked(k: Code, first: Lanes, last: Lanes, bits: int) -> Lanes:
    """Where all weights would begin as bytes, of which those from `first` to `last` are made now, in scratch memory.

    Arguments of `k`: "weights", the address of them packed, 8 / bits vectors of FIELD bytes in one, lowest bits first, as numbers from
    0 on (of one bit 0 stands for -1); "unpacked", the arena offset of the scratch memory, which has room for 16 / bits vectors more.
    Those of 8 bits are where they are.
    """
    if bits == 8:
        return k["weights"]
    fields, step, half = 8 // bits, 2 if bits == 1 else 1, 1 << max(bits - 1, 0)
    begin = first & -(fields * FIELD)
    whole = k.arena + k["unpacked"] - begin
    with k.loop(last, start=begin, step=fields * FIELD) as i:
        held = k.load("i16", k["weights"] + i // fields, FIELD // 2)
        for f in range(fields):
            number = ((held >> (bits * f)).bits("u8") & ((1 << bits) - 1)) * step - half
            k.store(number, whole + i + FIELD * f)
    return whole
