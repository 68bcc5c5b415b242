"""Weights that come while earlier layers run, on chips whose DMA looks ahead: into memory that is free, through ports that have time.

The nearest layer before is asked first, so that weights wait as briefly as they can.  What a layer lends is the time in which the port of
the weights' farthest memory would stand idle, and the room that its own tensors and tiles, and weights already waiting, leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hwsim.arch import Arch
from hwsim.mapping import Mapping
from hwsim.program import Layer, Program
from hwsim.steps.plan_memory import plan_memory
from hwsim.steps.ports import port_cycles
from hwsim.steps.residency import Residency

__all__ = ["prefetch_weights"]

TRIALS = 4
Appraise = Callable[[Layer, Mapping], tuple[int, float]]


def prefetch_weights(program: Program, arch: Arch, residency: Residency, mappings: list[Mapping], appraise: Appraise) -> list[Mapping]:
    """The mappings with what comes ahead; as they were where the chip does not look ahead.

    Where fixed addresses need more than what is live at once, so much less is brought.
    """
    path = arch.path("weights")
    if not arch.dma.prefetch or len(path) < 2:
        return mappings
    near = path[-2]
    plan = plan_memory(program, arch, residency, mappings)
    size, found = arch.memories[near].size, mappings
    free = 1 << 62 if size is None else size
    for _ in range(TRIALS):
        room = [max(free - 8 * live, 0) for live in plan.live_bytes(near)]
        found = _ahead(program, arch, mappings, appraise, room)
        over = plan_memory(program, arch, residency, found).peak_bytes[near] * 8 - (size or 1 << 62)
        if over <= 0:
            return found
        free -= over
    return mappings


def _ahead(program: Program, arch: Arch, mappings: list[Mapping], appraise: Appraise, room: list[int]) -> list[Mapping]:
    """Every layer's weights as far ahead as idle ports and the bits of `room` at each layer allow."""
    near, home = arch.path("weights")[-2:]
    found: list[Mapping] = []
    idle: list[int] = []
    for i, (layer, mapping) in enumerate(zip(program.layers, mappings, strict=True)):
        ahead, left = [], 0 if mapping.prefetched else _weights(layer, mapping, home)
        for j in range(i - 1, -1, -1):
            take = min(left, idle[j], *room[j : i + 1]) // 8 * 8
            if take > 0:
                ahead.append((i - j, take))
                left, idle[j] = left - take, idle[j] - take
                room[j : i + 1] = [r - take for r in room[j : i + 1]]
        total = sum(bits for _, bits in ahead)
        if total:
            mapping = replace(mapping, prefetched={home: (total, 0), near: (0, total)}, ahead=tuple(ahead))
        found.append(mapping)
        cycles = appraise(layer, mapping)[0]
        idle.append(min(_idle_bits(arch, home, "read", mapping, cycles), _idle_bits(arch, near, "write", mapping, cycles)))
    return found


def _weights(layer: Layer, mapping: Mapping, home: str) -> int:
    """Bits of a layer's constants that come from the farthest memory; none where tiles bring them more than once."""
    tiling = mapping.tilings[0] if mapping.tilings else None
    again = tiling is not None and layer.loops is not None and tiling.rows < layer.loops.N * layer.loops.OY
    return 0 if again else mapping.traffic[home].read.get("weights", 0)


def _idle_bits(arch: Arch, memory: str, direction: str, mapping: Mapping, cycles: int) -> int:
    """What a memory could read or write besides, while a layer runs."""
    traffic, early, spec = mapping.traffic[memory], mapping.prefetched.get(memory, (0, 0)), arch.memories[memory]
    shared = spec.one_port or not spec.on_chip
    read, write = traffic.read_bits - early[0], traffic.write_bits - early[1]
    busy = port_cycles(arch, memory, read if shared or direction == "read" else 0, write if shared or direction == "write" else 0)
    rate = spec.read if direction == "read" else spec.write
    return max(0, int((cycles - busy) * rate.per_cycle(arch.clock_hz) * spec.efficiency))
