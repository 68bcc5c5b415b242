"""Pairs of products that saturate at 16 bits before they are added to the sum: x86 vpmaddubsw, as in FBGEMM without VNNI."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Bench, Cut, Held, Room, all_of, changed, flatten, held_from, put, values, walk
from hwsim.kernels.dots import Dot, Sums, quads
from hwsim.kernels.lanes import Lanes

__all__ = ["EachPair"]

LOOK = 48  # steps between two looks whether pairs were cut
PAST_LIMIT = -32767  # makes of the highest word 0 and of the lowest 1: as unsigned words the smallest


@dataclass(frozen=True)
class EachPair(Cut):
    """Unsigned bytes by signed ones.  Steps whose weights are so large that a pair may saturate come first (`order`, `paired`), the
    others are plain.

    Beside the first goes their plain sum: where the two differ a pair was cut.  Where they do not, and yet a pair was at a limit, the
    tile is looked at pair by pair.  Once every lane of the tile is known to be cut, nobody looks any more.
    """

    room = Room(registers=3, reserved=4, most=2)

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
                    for here, w in walk(k, pixels, order, weights, len(start), first, last):
                        _add(k, held, None, here, w)
                with unsure:
                    watch = Watch(k, held)
                    for here, w in walk(k, pixels, order, weights, len(start), first, last):
                        _add(k, held, watch, here, w)
                    flags, open_ = watch.found(held, memory.get(0))
                    memory.put(0, flags)
                    with k.when(open_):
                        _each_pair(k, memory, order, weights, first, last)
                    known.set(all_of(flatten(memory.get(0))).to("i64"))
        for here, w in walk(k, pixels, order, weights, len(start), paired, steps):
            put(held, dot.step(k, values(held), here, w))
        return values(held), memory.get(0)


class Watch:
    """What tells whether pairs are cut: the plain sums, and how near to a limit any pair came."""

    def __init__(self, k: Code, held: Held) -> None:
        self.plain = [[k.variable(v.get()) for v in row] for row in held]
        self.nearest = [[k.variable(k.number("i16", -1, 2 * host.lanes())) for _ in row] for row in held]

    def add(self, row: int, vector: int, numbers: Lanes, weights: Lanes, pairs: Lanes) -> None:
        plain, nearest = self.plain[row][vector], self.nearest[row][vector]
        plain.set(quads(plain.get(), numbers, weights))
        nearest.set(nearest.get().call("umin", pairs + PAST_LIMIT))

    def found(self, held: Held, flags: Sums) -> tuple[Sums, Lanes]:
        """The flags with what is known now, and whether any lane without one had a pair at a limit."""
        known = changed(flags, values(self.plain), values(held))
        at_limit = [((n & -2) == 0).to("i16").bits("i32") != 0 for n in flatten(values(self.nearest))]
        return known, any_of([a & (f == 0) for a, f in zip(at_limit, flatten(known), strict=True)])


def _add(k: Code, held: Held, watch: Watch | None, here: list[Lanes], weights: Lanes) -> None:
    """One step of the tile: the pairs of four products."""
    lanes = host.lanes()
    ones = k.number("i16", 1, 2 * lanes)
    columns = [k.load("u8", weights + 4 * lanes * j, 4 * lanes) for j in range(len(held[0]))]
    for r, (sums, pixel) in enumerate(zip(held, here, strict=True)):
        four = k.load("i32", pixel).spread(lanes).bits("u8")
        for j, (total, w) in enumerate(zip(sums, columns, strict=True)):
            pairs = ones.intrinsic(f"llvm.x86.avx512.pmaddubs.w.{32 * lanes}", four, w)
            total.set(total.get().intrinsic(f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total.get(), pairs, ones))
            if watch is not None:
                watch.add(r, j, four, w, pairs)


def _each_pair(k: Code, memory: Bench, order: Lanes, weights: Lanes, first: Lanes, last: Lanes) -> None:
    """Find out in which lanes a pair was cut: rarely needed, for a pair that is just at a limit or two cuts that undo each other."""
    lanes, half = host.lanes(), k.number("i32", 32768, host.lanes())
    with k.loop(k.number("i64", memory.rows)) as r:
        flags = memory.row(0, r)
        for (here,), at in walk(k, [memory.pixel(r)], order, weights, memory.vectors, first, last):
            four = k.load("i32", here).spread(lanes)
            for j, flag in enumerate(flags):
                w = k.load("u8", at + 4 * lanes * j, 4 * lanes)
                for mask in (65535, -65536):
                    flag.set(flag.get() | (quads(half, (four & mask).bits("u8"), w) & -65536))
        memory.put_row(0, r, flags)


def any_of(masks: list[Lanes]) -> Lanes:
    """Whether any lane holds."""
    found = masks[0]
    for m in masks[1:]:
        found = found | m
    return found.reduce("or")
