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

__all__ = ["WAY_ARGS", "Way", "finish"]

WAY_ARGS = ("p0", "p1", "p2", "zero_point", "low", "high", "y_bias")


@dataclass(frozen=True)
class Way:
    """An arithmetic's `requantize` (None: real numbers, float32(sum) scale + shift), how its parameters are stored, and the output's
    element kind.

    `p0`, `p1`, `p2` are addresses of the parameters, one number per output channel, as many as `kinds`; stored = q - y_bias.
    """

    requantize: Callable[..., Any] | None
    kinds: tuple[str, ...]
    kind: str

    def __repr__(self) -> str:
        f = self.requantize
        return f"{f'{f.__module__}.{f.__qualname__}' if f else 'real'} {self.kinds} {self.kind}"

    def loaded(self, k: Code, channel: Lanes, lanes: int) -> list[Lanes]:
        """The parameters of the output channels from `channel` on."""
        return [k.load(kind, k[f"p{i}"] + k.size(kind) * channel, lanes) for i, kind in enumerate(self.kinds)]

    def stored(self, k: Code, sums: Lanes, p: list[Lanes]) -> Lanes:
        """Stored outputs, in int32 (or float32) lanes."""
        if self.requantize is None:
            return sums.to("f32") * p[0] + p[1]
        zero, low, high = (k[n].to("i32") for n in ("zero_point", "low", "high"))
        return self.requantize(sums, p, zero, low, high).to("i32") - k["y_bias"].to("i32")


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
