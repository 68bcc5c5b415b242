"""Where everything lies: a plan of every memory with addresses, from layer to layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

__all__ = ["MemoryPlan", "Region"]


@dataclass(frozen=True)
class Region:
    """A tensor, or the tiles of one, in a memory from its first to its last layer (indices), at so many bytes from the beginning.

    `kind` is activation, weights, or tiles (of a layer whose operands pass in parts, all buffers together).
    """

    name: str
    kind: str
    memory: str
    size_bytes: int
    first: int
    last: int
    offset_bytes: int = 0

    @property
    def end_bytes(self) -> int:
        return self.offset_bytes + self.size_bytes


@dataclass(frozen=True)
class MemoryPlan:
    """Regions that never overlap, the layers by name, what each memory holds at most (bytes; None: without limit), and which of them are
    on the chip."""

    layers: tuple[str, ...]
    regions: tuple[Region, ...]
    capacity_bytes: Mapping[str, int | None]
    on_chip: tuple[str, ...] = ()

    @cached_property
    def peak_bytes(self) -> dict[str, int]:
        """The highest address in use, by memory."""
        return {m: max((r.end_bytes for r in self.regions if r.memory == m), default=0) for m in self.capacity_bytes}

    def live_bytes(self, memory: str) -> list[int]:
        """What is in use at each layer, without gaps."""
        used = [0] * len(self.layers)
        for r in self.regions:
            if r.memory == memory:
                for i in range(r.first, r.last + 1):
                    used[i] += r.size_bytes
        return used

    @property
    def problems(self) -> list[str]:
        """Memories whose regions fit at each layer but find no fixed addresses."""
        found = []
        for memory, peak in self.peak_bytes.items():
            size, live = self.capacity_bytes[memory], max(self.live_bytes(memory), default=0)
            if size is not None and live <= size < peak:
                found.append(
                    f"{memory} holds all that is live ({live} of {size} bytes), but fixed addresses reach {peak}: something must move"
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data; layers by index and name."""
        named = ({**asdict(r), "first_layer": self.layers[r.first], "last_layer": self.layers[r.last]} for r in self.regions)
        peaks = {m: {"peak_bytes": p, "capacity_bytes": self.capacity_bytes[m]} for m, p in self.peak_bytes.items()}
        return {"memories": peaks, "problems": self.problems, "regions": list(named)}
