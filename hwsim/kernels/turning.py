"""Saturating sums of words on all pipes of a processor whose saturating additions share theirs with the products.

An unsigned sum s less q, but not less than 0, is max(s, q) - q: instructions that any of the four pipes takes, where a saturating
one (AMD Zen 4: vpaddsw, as vpmullw) waits for one of two.  Where a weight is not negative the complement of the sum is lowered, so
sums are turned over wherever the sign of the weights changes.  With every second vector of a tile summed so, an activation and two
vectors take three cycles instead of four.
"""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.dots import Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["add_turned", "products", "row_of", "turned"]


def turned(vectors: int) -> int:
    """How many of a tile's vectors are summed in this way: the last ones."""
    return vectors // 2


def row_of(k: Code, words: Lanes, index: Lanes, vectors: int) -> list[Lanes]:
    """A row of vectors of words in memory."""
    lanes = 2 * host.lanes()
    return [k.load("i16", words + (index * vectors + j) * (2 * lanes), lanes) for j in range(vectors)]


def products(k: Code, activation: Lanes, weights: list[Lanes]) -> list[Lanes]:
    """Those of the activation that lies, twice, at an address."""
    number = k.load("i32", activation).spread(host.lanes()).bits("i16")
    return [number * w for w in weights]


def add_turned(k: Code, sums: Sums, pixels: list[Lanes], weights: Lanes, step: Lanes, count: Lanes) -> Sums:
    """The sums of a tile (words) plus the products of `count` activations and the weights at an address; `step` counts them in `turned`."""
    vectors = len(sums[0])
    own = turned(vectors)
    table = k["turned"] + step * (8 * host.lanes() * own)
    before, after = (_positive(k, weights, i, vectors) for i in (k.number("i64", 0), count - 1))
    before = [p ^ turn for p, turn in zip(before, row_of(k, table, k.number("i64", 0), 2 * own)[1::2], strict=True)]
    held = [[k.variable(v) for v in _turn(row, before)] for row in sums]
    with k.loop(count) as i:
        columns, rows = row_of(k, weights, i, vectors), row_of(k, table, i, 2 * own)
        for row, pixel in zip(held, pixels, strict=True):
            added = products(k, pixel + 4 * i, columns[:-own] + rows[::2])
            for variable, v in zip(row, _added(k, [v.get() for v in row], added, rows[1::2]), strict=True):
                variable.set(v)
    return [_turn([v.get() for v in row], after) for row in held]


def _positive(k: Code, weights: Lanes, index: Lanes, vectors: int) -> list[Lanes]:
    """-1 where the weights of the turned vectors are not negative."""
    return [(w >> 15) ^ -1 for w in row_of(k, weights, index, vectors)[vectors - turned(vectors) :]]


def _turn(sums: list[Lanes], positive: list[Lanes]) -> list[Lanes]:
    """Signed sums as unsigned ones, turned over where the weight is positive, and back."""
    straight = len(sums) - len(positive)
    return sums[:straight] + [v ^ -32768 ^ p for v, p in zip(sums[straight:], positive, strict=True)]


def _added(k: Code, sums: list[Lanes], products: list[Lanes], turns: list[Lanes]) -> list[Lanes]:
    """One product more.  The order of the instructions decides which pipe each of them gets, and LLVM's costs a tenth of the speed."""
    vectors, own = len(sums), len(turns)
    straight, lines = vectors - own, list[str]()
    for j in range(straight):
        if j < own:
            s = straight + j
            lines += [f"vpxorq {{{2 * vectors + j}}}, {{{s}}}, {{{s}}}", f"vpmaxuw {{{vectors + s}}}, {{{s}}}, {{{s}}}"]
        lines.append(f"vpaddsw {{{vectors + j}}}, {{{j}}}, {{{j}}}")
    lines += [f"vpsubw {{{vectors + s}}}, {{{s}}}, {{{s}}}" for s in range(straight, vectors)]
    return k.assembly(lines, sums, products + turns)
