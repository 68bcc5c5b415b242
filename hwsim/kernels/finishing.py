"""The way out of the accumulators: what an arithmetic makes of a vector of sums, written into the kernels that fill them.

`Way` is the part of a kernel's identity that says so.  Kernels that fuse it load `Way.ARGS` with their own arguments and call
`loaded` once per vector of output channels and `stored` for every vector of sums; `finish` is the same as a kernel of its own,
(args, sums, first, count, target), for kernels that keep their sums in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.lanes import Lanes

__all__ = ["WAY_ARGS", "Way", "as_bytes", "finish", "packs", "straight"]

PACKS = {64: "avx512.{}.512", 32: "avx2.{}", 16: "sse2.{}.128"}  # by bytes of a vector
WAY_ARGS = ("p0", "p1", "p2", "zero_point", "low", "high", "y_bias")


@dataclass(frozen=True)
class Way:
    """An arithmetic's `requantize` (None: real numbers, float32(sum) scale + shift), how its parameters are stored, and the output's
    element kind.

    `p0`, `p1`, `p2` are addresses of the parameters, one number per output channel, as many as `kinds`; stored = q - y_bias.
    `rescale` gives the number before zero point and limits, where int32 always holds it: then four vectors of bytes go out together,
    their zero point added only if `shifted` (it is not the lowest byte), their limits set only if `limited` (they are not a byte's own).
    """

    requantize: Callable[..., Any] | None
    kinds: tuple[str, ...]
    kind: str
    rescale: Callable[..., Any] | None = None
    shifted: bool = True
    limited: bool = True

    def __repr__(self) -> str:
        functions = [f"{f.__module__}.{f.__qualname__}" for f in (self.requantize, self.rescale) if f]
        return f"{' '.join(functions) or 'real'} {self.kinds} {self.kind} {self.shifted} {self.limited}"

    def loaded(self, k: Code, channel: Lanes, lanes: int) -> list[Lanes]:
        """The parameters of the output channels from `channel` on."""
        return [k.load(kind, k[f"p{i}"] + k.size(kind) * channel, lanes) for i, kind in enumerate(self.kinds)]

    def stored(self, k: Code, sums: Lanes, p: list[Lanes]) -> Lanes:
        """Stored outputs, in int32 (or float32) lanes."""
        if self.requantize is None:
            return sums.to("f32") * p[0] + p[1]
        zero, low, high = (k[n].to("i32") for n in ("zero_point", "low", "high"))
        return self.requantize(sums, p, zero, low, high).to("i32") - k["y_bias"].to("i32")

    def packed(self, k: Code, sums: list[Lanes], p: list[list[Lanes]]) -> Lanes:
        """Stored bytes of four vectors: in each 128 bits those of the first, then of the second, third and fourth.

        Saturating packs stand for most of the limits: zero points and limits lie within what a byte of the format holds.
        """
        assert self.rescale is not None
        values, lanes = [self.rescale(s, own) for s, own in zip(sums, p, strict=True)], sums[0].lanes
        zero, low, high = (k[n] - k["y_bias"] for n in ("zero_point", "low", "high"))
        words = [_pack(k, "packssdw", "i16", *values[i : i + 2]) for i in (0, 2)]
        if self.shifted:
            words = [w.call("sadd.sat", zero.to("i16").spread(2 * lanes)) for w in words]
        made = _pack(k, "packuswb", "u8", *words)
        return made.at_least(low.to("u8").spread(4 * lanes)).at_most(high.to("u8").spread(4 * lanes)) if self.limited else made


def _pack(k: Code, name: str, kind: str, a: Lanes, b: Lanes) -> Lanes:
    """Numbers of two vectors saturated to half their width, in 128-bit lanes."""
    return k.number(kind, 0, 2 * a.lanes).intrinsic(f"llvm.x86.{PACKS[a.lanes * k.size(a.kind)].format(name)}", a, b)


def packs() -> bool:
    """Whether the processor has instructions for `Way.packed`."""
    return host.has("avx2")


def as_bytes(k: Code, four: list[Lanes]) -> Lanes:
    """Four vectors of int32 saturated to bytes, in the order of `Way.packed`."""
    return _pack(k, "packuswb", "u8", *(_pack(k, "packssdw", "i16", *four[i : i + 2]) for i in (0, 2)))


def straight(packed: Lanes) -> Lanes:
    """The bytes of `Way.packed`, vector after vector."""
    units = packed.lanes // 16
    return packed.bits("i32").shuffle([4 * u + q for q in range(4) for u in range(units)]).bits("u8")


def finish(way: Way, sums_kind: str) -> str:
    """Kernel (args, sums, first, count, target): args are WAY_ARGS; sums[0] is of channel `first`; parameters and sums are readable
    to a whole vector behind their end."""
    k = Code(WAY_ARGS, 5)
    _, sums, first, count, target = k.words
    lanes, size = host.lanes(), k.size(way.kind)
    with k.loop(count, step=lanes) as i:
        held = k.load(sums_kind, sums + k.size(sums_kind) * i, lanes)
        y = way.stored(k, held, way.loaded(k, first + i, lanes))
        k.store_first(y, target + size * i, count - i, way.kind)
    return k.finished()
