"""What the sum of a pixel's numbers adds to each of its outputs: the zero points of raw weights, and weights of more than seven bits."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.cutting import Cut, Room, changed, clamped, limits, table
from hwsim.kernels.dots import Dot, Sums, quads
from hwsim.kernels.lanes import Lanes
from hwsim.kernels.plain import plain_sums

__all__ = ["AtEnd", "Late"]


@dataclass(frozen=True)
class AtEnd(Cut):
    """Saturated before the first product and behind the last: of a tile that holds them all, or where none is negative, since a sum
    that only rises says at its end whether it ever saturated.

    Weights lie in memory less `lift`, which makes signed bytes of unsigned ones.
    """

    lift: int = 0
    room = Room(registers=2, most=2)

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        low, high = limits(k, start[0])
        first = clamped([start], low, high)[0]
        whole = plain_sums(k, dot, pixels, weights, first)
        if self.shifted:
            shift = table(k, "shift", panel, k.number("i64", 0), k.number("i64", 1), len(start))
            whole = [[v + s for v, s in zip(row, shift, strict=True)] for row in whole]
        if self.lift:
            whole = [[v + n * self.lift for v in row] for row, n in zip(whole, _totals(k, dot, pixels), strict=True)]
        cut = clamped(whole, low, high)
        at_start = [[s ^ f for s, f in zip(start, first, strict=True)]] * len(pixels)
        return cut, changed(at_start, whole, cut)


@dataclass(frozen=True, kw_only=True)
class Late(Cut):
    """Another cut of raw weights, and behind it, at once, less the sum of the pixel's numbers times each output's `w_zero`."""

    cut: Cut
    saturated: bool

    def sums(self, k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], panel: Lanes) -> tuple[Sums, Sums]:
        sums, flags = self.cut.sums(k, dot, pixels, weights, start, panel)
        lanes, vectors = host.lanes(), len(start)
        zeros = [k.load("i32", k["w_zero"] + 4 * lanes * (panel * vectors + j), lanes) for j in range(vectors)]
        whole = [[v - n * z for v, z in zip(row, zeros, strict=True)] for row, n in zip(sums, _totals(k, dot, pixels), strict=True)]
        if not self.saturated:
            return whole, flags
        cut = clamped(whole, *limits(k, start[0]))
        return cut, changed(flags, whole, cut)


def _totals(k: Code, dot: Dot, pixels: list[Lanes]) -> list[Lanes]:
    """The sum of the numbers that each pixel's sums are made of: of bytes, or of words that lie there twice, their offset removed."""
    lanes, words = host.lanes(), dot.x_bytes > dot.channels
    held = [k.variable(k.number("i32", 0, lanes)) for _ in pixels]
    numbers = lanes if words else 4 * lanes
    kind = "i32" if words else "u8"
    with k.loop(k["taps"]) as tap, k.loop(k["depth"], step=numbers) as first:
        offset = k.load("i32", k["tap_table"] + 4 * tap, align=4).to("i64")
        real = k.sequence(kind, numbers) < (k["depth"] - first).at_most(numbers).to(kind)
        for v, pixel in zip(held, pixels, strict=True):
            found = real.select(k.load(kind, pixel + offset + k.size(kind) * first, numbers), 0)
            v.set(v.get() + ((found << 16) >> 16) if words else quads(v.get(), found, found.constant(1)))
    away = k["offset"] * k["depth"] * k["taps"]
    return [v.get().reduce("add") - (0 if words else away.to("i32")) for v in held]
