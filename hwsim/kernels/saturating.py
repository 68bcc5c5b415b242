"""One saturated product after the other in 32-bit lanes, for accumulators of up to 30 bits: one instruction each, overflows known for free.

AVX-512 VNNI vpdpwssds saturates at 32 bits.  A sum of b bits stands in the upper bits of its lane, products are scaled alike, so that it
saturates where the accumulator does.  The lower bits begin as a mark that no product changes: saturation upwards leaves ones there,
downwards zeros, and so says for ever that the sum was cut.  Products are x 2^i w 2^j + the same again, with words for both factors.
"""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import Held, limits
from hwsim.kernels.dots import Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["Marks", "add_apart", "add_together", "weight_shift"]

CHUNK = 64  # products, a bit each
WORD_SHIFT = 7  # what a byte, signed or not, may be scaled by in a word


def weight_shift(bits: int) -> int:
    """The power of two that weights are scaled by: what activations leave."""
    return max(32 - max(bits, 16) - 1 - WORD_SHIFT, 0)


class Marks:
    """What the lower bits of a lane say: whether its sum was never cut, or last above or below."""

    def __init__(self, k: Code) -> None:
        one, self.bits = k.number("i32", 1), (32 - k["bits"].at_least(16)).to("i32")
        self.never, self.above, self.below = one << (self.bits - 1), (one << self.bits) - 1, k.number("i32", 0)

    def joined(self, sums: list[Variable], marks: list[Lanes]) -> None:
        for s, m in zip(sums, marks, strict=True):
            s.set((s.get() << self.bits) | m)

    def parted(self, sums: list[Variable]) -> list[Lanes]:
        """The marks; what is left are the sums."""
        marks = [s.get() & self.above for s in sums]
        for s in sums:
            s.set(s.get() >> self.bits)
        return marks


def add_apart(
    k: Code, sums: list[Variable], marks: list[Lanes], pixel: Lanes, words: Lanes, count: int, free: Lanes, narrow: bool
) -> list[Lanes]:
    """The marks behind `count` products of a row's bytes and of weights (pairs of words [product][vector][lane]), those of 0 left out.

    `free` is the address of CHUNK numbers of 32 bits.  A `narrow` accumulator, of less than 16 bits, has limits of its own.
    """
    scale, bytes_ = Marks(k), 4 * host.lanes() * len(sums)
    scale.joined(sums, marks)
    for first in range(0, count, CHUNK):  # written out: as a loop it would cost the kernel's fastest way registers
        _scaled(k, pixel + first, free)
        left = _worthwhile(k, pixel + first, min(count, CHUNK))
        with k.loop(left.get().call("ctpop")):
            at = left.get().intrinsic("llvm.cttz.i64", left.get(), k.number("i1", 0))
            left.set(left.get() & (left.get() - 1))
            _add(k, sums, free + 4 * at, _columns(k, words + (at + first) * bytes_, len(sums)), narrow)
    return scale.parted(sums)


def add_together(k: Code, held: Held, marks: Sums, pixels: list[Lanes], words: Lanes, count: int, free: Lanes, narrow: bool) -> Sums:
    """The same in all rows of a tile at once, whose sums stay in registers, zeros included; `free` has CHUNK numbers for each row."""
    scale, vectors = Marks(k), len(held[0])
    for sums, own in zip(held, marks, strict=True):
        scale.joined(sums, own)
    for first in range(0, count, CHUNK):
        for r, pixel in enumerate(pixels):
            _scaled(k, pixel + first, free + 4 * CHUNK * r)
        with k.loop(k.number("i64", min(count, CHUNK))) as i:
            columns = _columns(k, words + (i + first) * (4 * host.lanes() * vectors), vectors)
            for r, sums in enumerate(held):
                _add(k, sums, free + 4 * (i + CHUNK * r), columns, narrow)
    return [scale.parted(sums) for sums in held]


def _columns(k: Code, words: Lanes, vectors: int) -> list[Lanes]:
    lanes = host.lanes()
    return [k.load("i16", words + 4 * lanes * j, 2 * lanes) for j in range(vectors)]


def _add(k: Code, sums: list[Variable], activation: Lanes, weights: list[Lanes], narrow: bool) -> None:
    """One product."""
    lanes = host.lanes()
    number = k.load("i32", activation).spread(lanes).bits("i16")
    for s, w in zip(sums, weights, strict=True):
        s.set(s.get().intrinsic(f"llvm.x86.avx512.vpdpwssds.{32 * lanes}", s.get(), number, w))
        if narrow:
            low, high = (v << 16 for v in limits(k, s.get()))
            s.set(s.get().at_least(low).at_most(high | 65535))


def _scaled(k: Code, pixel: Lanes, free: Lanes) -> None:
    """A chunk's activations less their offset, scaled, as pairs of words."""
    lanes, shift = host.lanes(), (Marks(k).bits - 1).at_most(WORD_SHIFT)
    for i in range(0, CHUNK, lanes):
        number = (k.load("u8", pixel + i, lanes).to("i32") - k["offset"].to("i32")) << shift
        k.store((number << 16) | (number & 65535), free + 4 * i)


def _worthwhile(k: Code, pixel: Lanes, count: int) -> Variable:
    """A bit for every product of a chunk that is not 0."""
    some = (k.load("u8", pixel, CHUNK) != k["offset"].to("u8").spread(CHUNK)).bits("i64")
    return k.variable(some & ((1 << count) - 1) if count < CHUNK else some)
