"""One saturated product after the other in 32-bit lanes, for accumulators of up to 30 bits: one instruction each, overflows known for free.

AVX-512 VNNI vpdpwssds saturates at 32 bits.  A sum of b bits stands in the upper bits of its lane, products are scaled alike, so that it
saturates where the accumulator does.  The lower bits begin as a mark that no product changes: saturation upwards leaves ones there,
downwards zeros, and so says for ever that the sum was cut.  Products are x 2^i w 2^j + the same again, with words for both factors.
"""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.cutting import limits
from hwsim.kernels.lanes import Lanes

__all__ = ["Marks", "add_products", "weight_shift"]

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


def add_products(
    k: Code, sums: list[Variable], marks: list[Variable], pixel: Lanes, words: Lanes, count: int, free: Lanes, narrow: bool
) -> None:
    """`count` products of bytes at an address and of weights (pairs of words [product][vector][lane]), those of 0 left out.

    `free` is the address of CHUNK numbers of 32 bits.  A `narrow` accumulator, of less than 16 bits, has limits of its own.
    """
    lanes, scale = host.lanes(), Marks(k)
    low, high = (v << 16 for v in limits(k, sums[0].get()))
    for s, m in zip(sums, marks, strict=True):
        s.set((s.get() << scale.bits) | m.get())
    for first in range(0, count, CHUNK):
        _scaled(k, pixel + first, free, scale.bits - 1)
        left = _worthwhile(k, pixel + first, min(count - first, CHUNK))
        with k.loop(left.get().call("ctpop")):
            at = left.get().intrinsic("llvm.cttz.i64", left.get(), k.number("i1", 0))
            left.set(left.get() & (left.get() - 1))
            number = k.load("i32", free + 4 * at).spread(lanes).bits("i16")
            for j, s in enumerate(sums):
                w = k.load("i16", words + ((at + first) * len(sums) + j) * (4 * lanes), 2 * lanes)
                after = s.get().intrinsic(f"llvm.x86.avx512.vpdpwssds.{32 * lanes}", s.get(), number, w)
                s.set(after.at_least(low).at_most(high | 65535) if narrow else after)
    for s, m in zip(sums, marks, strict=True):
        m.set(s.get() & scale.above)
        s.set(s.get() >> scale.bits)


def _scaled(k: Code, pixel: Lanes, free: Lanes, shift: Lanes) -> None:
    """A chunk's activations less their offset, scaled, as pairs of words."""
    lanes = host.lanes()
    for i in range(0, CHUNK, lanes):
        number = (k.load("u8", pixel + i, lanes).to("i32") - k["offset"].to("i32")) << shift.at_most(WORD_SHIFT)
        k.store((number << 16) | (number & 65535), free + 4 * i)


def _worthwhile(k: Code, pixel: Lanes, count: int) -> Variable:
    """A bit for every product of a chunk that is not 0."""
    some = (k.load("u8", pixel, CHUNK) != k["offset"].to("u8").spread(CHUNK)).bits("i64")
    return k.variable(some & ((1 << count) - 1) if count < CHUNK else some)
