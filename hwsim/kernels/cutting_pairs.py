"""Pairs of products that saturate at 16 bits before they are added to the sum: x86 vpmaddubsw, as in FBGEMM without VNNI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import Bench, Cut, Held, all_of, flatten, held_from, put, values
from hwsim.kernels.dots import Dot, Sums, quads
from hwsim.kernels.lanes import Lanes

__all__ = ["EachPair"]

LOOK = 16  # steps between two looks whether pairs were at a limit


@dataclass(frozen=True)
class EachPair(Cut):
    """Unsigned bytes by signed ones.  Steps whose weights are so large that a pair may saturate come first (`order`, `paired`), the
    others are plain.

    Of the first the largest magnitude of any pair is kept; only where it is a limit can one have saturated.  Rows with such lanes, not
    known to be cut before, are then looked at pair by pair; once every lane of the tile is known to be cut, nobody looks any more.
    """

    registers: int = 2
    reserved: int = 4
    most: int = 2

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        held, memory = held_from(k, len(pixels), start), Bench(k, len(pixels), len(start))
        memory.put(0, [[s.constant(0) for s in start]] * len(pixels))
        memory.put_pixels(pixels)
        steps, known = k["taps"] * k["steps"], k.variable(k.number("i64", 0))
        order, paired = k["order"] + 4 * panel * steps, k.load("i32", k["paired"] + 4 * panel).to("i64")
        with k.loop(paired, step=LOOK) as first:
            last = (first + LOOK).at_most(paired)
            with k.otherwise(known.get() != 0) as (sure, unsure):
                with sure:
                    for here, w in _walk(k, pixels, order, weights, len(start), first, last):
                        self._add(k, held, None, here, w)
                with unsure:
                    most = held_from(k, len(pixels), [k.number("i16", 0, 2 * host.lanes())] * len(start))
                    for here, w in _walk(k, pixels, order, weights, len(start), first, last):
                        self._add(k, held, most, here, w)
                    self._look(k, values(most), memory, order, weights, first, last)
                    known.set(all_of(flatten(memory.get(0))).to("i64"))
        for here, w in _walk(k, pixels, order, weights, len(start), paired, steps):
            put(held, dot.step(k, values(held), here, w))
        return values(held), memory.get(0)

    def _add(self, k: Code, held: Held, most: Held | None, here: list[Lanes], weights: Lanes) -> None:
        lanes = host.lanes()
        ones = k.number("i16", 1, 2 * lanes)
        columns = [k.load("u8", weights + 4 * lanes * j, 4 * lanes) for j in range(len(held[0]))]
        for r, (sums, pixel) in enumerate(zip(held, here, strict=True)):
            four = k.load("i32", pixel).spread(lanes).bits("u8")
            for j, (total, w) in enumerate(zip(sums, columns, strict=True)):
                pairs = ones.intrinsic(f"llvm.x86.avx512.pmaddubs.w.{32 * lanes}", four, w)
                total.set(total.get().intrinsic(f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total.get(), pairs, ones))
                if most is not None:
                    top = most[r][j]
                    top.set(top.get().call("umax", (pairs < 0).select(-pairs, pairs)))

    def _look(self, k: Code, most: Sums, memory: Bench, order: Lanes, weights: Lanes, first: Lanes, last: Lanes) -> None:
        """Find out in which lanes a pair was cut, where one was at a limit and nothing is known yet."""
        at_limit = [[((m == 32767) | (m == -32768)).to("i16").bits("i32") != 0 for m in row] for row in most]
        with k.when(any_of(flatten(at_limit))):
            memory.put(1, [[a.to("i32") for a in row] for row in at_limit])
            with k.loop(k.number("i64", memory.rows)) as r:
                flags, found = memory.row(0, r), memory.row(1, r)
                with k.when(any_of([(a.get() != 0) & (f.get() == 0) for a, f in zip(found, flags, strict=True)])):
                    for (here,), w in _walk(k, [memory.pixel(r)], order, weights, memory.vectors, first, last):
                        self._pair_by_pair(k, flags, here, w)
                    memory.put_row(0, r, flags)

    def _pair_by_pair(self, k: Code, flags: list[Variable], pixel: Lanes, weights: Lanes) -> None:
        lanes = host.lanes()
        four, half = k.load("i32", pixel).spread(lanes), k.number("i32", 32768, lanes)
        for j, flag in enumerate(flags):
            w = k.load("u8", weights + 4 * lanes * j, 4 * lanes)
            for mask in (65535, -65536):
                beyond = quads(half, (four & mask).bits("u8"), w) & -65536
                flag.set(flag.get() | beyond)


def _walk(
    k: Code, pixels: list[Lanes], order: Lanes, weights: Lanes, vectors: int, first: Lanes, last: Lanes
) -> Iterator[tuple[list[Lanes], Lanes]]:
    """The steps from `first` to `last`: the addresses of each pixel's numbers, and that of the weights."""
    with k.loop(last, start=first) as i:
        offset = k.load("i32", order + 4 * i, align=4).to("i64")
        yield [p + offset for p in pixels], weights + i * (4 * host.lanes() * vectors)


def any_of(masks: list[Lanes]) -> Lanes:
    """Whether any lane holds."""
    found = masks[0]
    for m in masks[1:]:
        found = found | m
    return found.reduce("or")
