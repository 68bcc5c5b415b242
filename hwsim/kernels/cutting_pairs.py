"""Pairs of products that saturate at 16 bits before they are added to the sum: x86 vpmaddubsw, as in FBGEMM without VNNI."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Bench, Cut, Held, blocks, flatten, held_from, put, values
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["EachPair"]


@dataclass(frozen=True)
class EachPair(Cut):
    """Unsigned bytes by signed ones.  Steps whose weights are too small for any pair to saturate are plain.

    In the others the largest magnitude of any pair is kept; only where it is a limit can one have saturated.  Then the plain sum is
    made too: a lane where it differs was cut.  Where it is the same in spite of a pair at the limit, the tile is looked at pair by
    pair.
    """

    registers: int = 2
    reserved: int = 4
    most: int = 2

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        lanes, vectors = host.lanes(), len(start)
        held, none = held_from(k, len(pixels), start), k.number("i16", 0, 2 * lanes)
        most, memory = held_from(k, len(pixels), [none] * vectors), Bench(k, len(pixels), vectors)
        count = k["taps"] * k["steps"]
        with blocks(k, dot, pixels, weights, vectors * lanes, 1) as (here, w, number, _):
            might = k.load("u8", k["might"] + panel * count + number) != 0
            with k.otherwise(might) as (paired, plain):
                with paired:
                    self._add(k, held, most, here, w)
                with plain:
                    put(held, dot.step(k, values(held), here, w))
        at_limit = [[((m == 32767) | (m == -32768)).to("i16").bits("i32") != 0 for m in row] for row in values(most)]
        memory.put(0, [[s.constant(0) for s in start]] * len(pixels))
        with k.when(any_of(at_limit)):
            self._look(k, dot, pixels, weights, start, values(held), at_limit, memory)
        return values(held), memory.get(0)

    def _add(self, k: Code, held: Held, most: Held, here: list[Lanes], weights: Lanes) -> None:
        lanes = host.lanes()
        ones = k.number("i16", 1, 2 * lanes)
        columns = [k.load("u8", weights + 4 * lanes * j, 4 * lanes) for j in range(len(held[0]))]
        for sums, largest, pixel in zip(held, most, here, strict=True):
            four = k.load("i32", pixel).spread(lanes).bits("u8")
            for total, top, w in zip(sums, largest, columns, strict=True):
                pairs = ones.intrinsic(f"llvm.x86.avx512.pmaddubs.w.{32 * lanes}", four, w)
                total.set(total.get().intrinsic(f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total.get(), pairs, ones))
                top.set(top.get().call("umax", (pairs < 0).select(-pairs, pairs)))

    def _look(
        self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], sums: Sums, at_limit: Sums, memory: Bench
    ) -> None:
        plain = held_from(k, len(pixels), start)
        with blocks(k, dot, pixels, weights, len(start) * host.lanes(), 1) as (here, w, *_):
            put(plain, dot.step(k, values(plain), here, w))
        other = [[a ^ b for a, b in zip(*rows, strict=True)] for rows in zip(values(plain), sums, strict=True)]
        memory.put(0, other)
        with k.when(any_of([[a & (o == 0) for a, o in zip(*rows, strict=True)] for rows in zip(at_limit, other, strict=True)])):
            self._pair_by_pair(k, dot, pixels, weights, memory)

    def _pair_by_pair(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, memory: Bench) -> None:
        lanes, vectors = host.lanes(), memory.vectors
        with blocks(k, dot, pixels, weights, vectors * lanes, 1) as (here, w, *_):
            memory.put_pixels(here)
            with k.loop(k.number("i64", memory.rows)) as r:
                flags, pixel = memory.row(0, r), memory.pixel(r)
                numbers = [k.load("u8", pixel + s).to("i32").spread(lanes) for s in range(4)]
                for j, flag in enumerate(flags):
                    packed = k.load("i32", w + 4 * lanes * j, lanes)
                    products = [n * ((packed << (24 - 8 * s)) >> 24) for s, n in enumerate(numbers)]
                    for pair in (products[0] + products[1], products[2] + products[3]):
                        flag.set(flag.get() | (pair ^ pair.at_least(-32768).at_most(32767)))
                memory.put_row(0, r, flags)


def any_of(masks: Sums) -> Lanes:
    """Whether any lane holds."""
    found = flatten(masks)[0]
    for m in flatten(masks)[1:]:
        found = found | m
    return found.reduce("or")
