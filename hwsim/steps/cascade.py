"""Pairs of layers that run strip by strip, so that only some rows of what lies between them are ever there.

Vela calls it cascading, others layer fusion (Alwani et al., MICRO 2016).  Both layers' weights and the first one's inputs and the second
one's outputs lie on chip meanwhile; the map between needs the rows under one window, and those that come next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from hwsim.arch import Arch
from hwsim.graph import Tensor
from hwsim.program import Layer, Program
from hwsim.steps.place import layer_kind

__all__ = ["Pair", "pairs_of"]


@dataclass(frozen=True)
class Pair:
    """Layers `first` and the one behind it; `between` is their tensor, of which `strip_bits` are kept."""

    first: int
    between: str
    strip_bits: int

    def live_bits(self, lives: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]) -> int:
        """What is live while both run: all that either of them needs, and the strip."""
        i = self.first
        return self.strip_bits + sum(sizes[t] for t, (a, b) in lives.items() if a <= i + 1 and b >= i and t != self.between)


def pairs_of(program: Program, arch: Arch, sizes: Mapping[str, int]) -> list[Pair]:
    """The pairs that the chip can run so: neighbours of the kinds that it names, with nothing else reading what lies between."""
    found: list[Pair] = []
    for i, (a, b) in enumerate(zip(program.layers, program.layers[1:], strict=False)):
        x = b.steps[0].inputs[0]
        taken = bool(found) and found[-1].first == i - 1
        if taken or a.loops is None or b.loops is None or x is None or x.name != a.output.name:
            continue
        if f"{layer_kind(a.steps[0])}+{layer_kind(b.steps[0])}" in arch.cascades and _private(program, x):
            found.append(Pair(i, x.name, _strip_bits(b, x, sizes[x.name])))
    return found


def _private(program: Program, t: Tensor) -> bool:
    return len(program.graph.consumers[t.name]) == 1 and t.name not in program.graph.outputs


def _strip_bits(reader: Layer, t: Tensor, bits: int) -> int:
    """Rows of a map under one window of its reader, and those of the next step."""
    if len(t.shape) != 4 or reader.op != "conv":
        return bits
    attrs, kernel = reader.steps[0].node.attrs, reader.loops.FY if reader.loops else 1
    rows = (kernel - 1) * (1, *attrs["dilations"])[-2] + 1 + (1, *attrs["strides"])[-2]
    return min(bits, ceil(bits * rows / t.shape[2]))
