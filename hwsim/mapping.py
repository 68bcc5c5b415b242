"""How a layer is laid out on a chip: loops over the multipliers, tiles in the memories, and the traffic that follows."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import cached_property

__all__ = ["NO_WORK", "OBJECTIVES", "ORDERS", "Given", "Level", "Mapping", "Problem", "Tiling", "Traffic", "Work"]

ORDERS = ("KRC", "RKC", "KCR", "CKR", "RCK", "CRK")
OBJECTIVES = ("latency", "energy", "edp")
Given = MappingType[str, MappingType[str, float]]


@dataclass(frozen=True)
class Problem:
    """What a mapper sees of a layer at one level of memory: sizes of loops and widths in bits.

    `rows` are output rows (of `inner` positions each) or rows of a matrix product; an output row needs `kernel_rows` input
    rows and the next one `stride` further; an input row has `row_elements` per channel.
    """

    groups: int
    outputs: int
    channels: int
    rows: int
    inner: int
    kernel: int
    kernel_rows: int
    stride: int
    input_rows: int
    row_elements: int
    weight_bits: int
    input_bits: int
    output_bits: int
    sum_bits: int

    @cached_property
    def geometry(self) -> Problem:
        """The same loops, whatever the widths."""
        return replace(self, weight_bits=1, input_bits=1, output_bits=1, sum_bits=1)


@dataclass(frozen=True)
class Tiling:
    """The tile of a layer that one level of memories holds at a time.

    `order` names the loops over tiles, outermost first: K outputs, R rows, C channels (`KRC`: weights stay while rows pass, and sums
    stay until all channels are in); groups lie outside of all.
    """

    groups: int
    outputs: int
    channels: int
    rows: int
    order: str
    trips: int
    fits: bool
    resident_bits: MappingType[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """Memories that take tiles from farther ones.

    `capacities` maps operands that share a memory to its size in bits (None: unlimited); `buffers` is how many copies of a tile each
    operand keeps (2 when double-buffered); moving one bit of an operand takes `cycles_per_bit` on the slower port and `pj_per_bit`.
    """

    capacities: MappingType[tuple[str, ...], int | None]
    buffers: MappingType[str, int]
    cycles_per_bit: MappingType[str, float]
    pj_per_bit: MappingType[str, float]

    @property
    def operands(self) -> set[str]:
        """Those that move."""
        return {o for shared in self.capacities for o in shared}


@dataclass
class Traffic:
    """Bits that go in and out of one memory during a layer, by operand."""

    read: dict[str, int] = field(default_factory=dict)
    write: dict[str, int] = field(default_factory=dict)

    def add(self, direction: str, operand: str, bits: int) -> None:
        side: dict[str, int] = getattr(self, direction)
        side[operand] = side.get(operand, 0) + bits

    @property
    def read_bits(self) -> int:
        return sum(self.read.values())

    @property
    def write_bits(self) -> int:
        return sum(self.write.values())


@dataclass(frozen=True)
class Work:
    """What an array does for a layer.

    `stages` are cycles of parts that work at the same time, so that the longest counts; `wait` are those in which none of them
    works, because operands are on their way, and `fill` those of filling and draining.  `slots` are the MACs that the array could
    have done meanwhile, `mapped_slots` without filling and draining.  `reads` and `writes` count elements from and to the nearest
    memories; `sums` are partial sums, `tables` bytes of biases and scales.  `how` says what is special about it.  `refetches` is how
    often the weights come, `laid_out` how many elements the output takes where its layout pads it (0: as many as it has).
    """

    unroll: MappingType[str, int]
    stages: MappingType[str, int]
    slots: int
    mapped_slots: int
    reads: MappingType[str, int]
    writes: MappingType[str, int]
    how: str = ""
    wait: int = 0
    fill: int = 0
    refetches: int = 1
    laid_out: int = 0

    @property
    def cycles(self) -> int:
        return max(self.stages.values()) + self.wait


NO_WORK = Work({}, {"": 0}, 0, 0, {}, {})


@dataclass(frozen=True)
class Mapping:
    """One layer on one chip: what the array does, tiles per level, and traffic per memory.

    `feed` is the part of the traffic (bits read, bits written) between the nearest memories and the array itself, which goes on
    while the array works; `lead` is the part that nothing overlaps: the first tiles in, the last ones out; `prefetched` the part that
    went on during earlier layers.  `stall_cycles` is how long the array waits for its first weights; `idle` the share of its products
    that zeros save.
    """

    work: Work
    tilings: tuple[Tiling, ...]
    traffic: MappingType[str, Traffic]
    transfers: int = 0
    resident: bool = False
    fits: bool = True
    feed: MappingType[str, tuple[int, int]] = field(default_factory=dict)
    lead: MappingType[str, tuple[int, int]] = field(default_factory=dict)
    prefetched: MappingType[str, tuple[int, int]] = field(default_factory=dict)
    ahead: tuple[tuple[int, int], ...] = ()
    stall_cycles: int = 0
    idle: float = 0.0
