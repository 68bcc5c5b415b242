"""How long a memory's ports are busy."""

from __future__ import annotations

from math import ceil

from hwsim.arch import Arch

__all__ = ["port_cycles"]

EXACT = 1 - 2**-44  # so that the rounding of a division makes no cycle of its own


def port_cycles(arch: Arch, name: str, read_bits: int, write_bits: int) -> int:
    """Cycles of one memory's port: on chip reads and writes go side by side unless they share `one_port`, off chip they share the pins."""
    memory, hz = arch.memories[name], arch.clock_hz
    read, write = read_bits / memory.read.per_cycle(hz), write_bits / memory.write.per_cycle(hz)
    return ceil((max(read, write) if memory.on_chip and not memory.one_port else read + write) / memory.efficiency * EXACT)
