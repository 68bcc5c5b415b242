"""The plan of every memory: weights where they are kept, activations where they stay or are spilled to, and tiles on their way."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.arch import Arch
from hwsim.mapping import Mapping
from hwsim.memory_plan import MemoryPlan, Region
from hwsim.program import Layer, Program
from hwsim.steps.addresses import addressed
from hwsim.steps.levels import boundaries, keeps_weights
from hwsim.steps.place import FREE
from hwsim.steps.residency import Residency, least_weights, weight_bits

__all__ = ["plan_memory"]


def plan_memory(program: Program, arch: Arch, residency: Residency, mappings: list[Mapping]) -> MemoryPlan:
    """Regions of all memories with their addresses."""
    wanted = [*_weights(program, arch, residency), *_activations(program, arch, residency), *_tiles(program, arch, residency, mappings)]
    regions = [r for m in arch.memories for r in addressed([r for r in wanted if r.memory == m and r.size_bytes])]
    sizes = {m: None if spec.size is None else spec.size // 8 for m, spec in arch.memories.items()}
    return MemoryPlan(
        tuple(layer.name for layer in program.layers), tuple(regions), sizes, tuple(m for m, spec in arch.memories.items() if spec.on_chip)
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _weights(program: Program, arch: Arch, residency: Residency) -> Iterator[Region]:
    """All constants in their farthest memory, and in those that keep them from one inference to the next."""
    last = len(program.layers) - 1
    for memory in (m for m in arch.path("weights") if m in residency.keeps_weights or m == arch.path("weights")[-1]):
        for layer in program.layers:
            yield Region(f"{layer.name} weights", "weights", memory, _bytes(weight_bits(layer)), 0, last)


def _activations(program: Program, arch: Arch, residency: Residency) -> Iterator[Region]:
    """Tensors between layers: on chip for all their life, or in the farthest memory."""
    away = arch.path("outputs")[-1]
    for name, (first, last) in residency.lives.items():
        memory = residency.memory if name in residency.tensors else None
        yield Region(name, "activation", memory or away, _bytes(residency.sizes[name]), first, last)


def _tiles(program: Program, arch: Arch, residency: Residency, mappings: list[Mapping]) -> Iterator[Region]:
    """Buffers of the tiles of each layer, and weights that come beside activations that stay."""
    levels = boundaries(arch)
    for i, (layer, mapping) in enumerate(zip(program.layers, mappings, strict=True)):
        if layer.unit == FREE or layer.loops is None:
            continue
        tilings = iter(mapping.tilings)
        for pairs in levels:
            if pairs.get("outputs", ("",))[0] == residency.memory and residency.fits[i]:
                yield from _passing(layer, i, arch, residency)
                continue
            for operand, bits in next(tilings).resident_bits.items() if mapping.tilings else ():
                kept = operand == "weights" and keeps_weights(arch, residency, pairs[operand][0])
                if not kept:
                    yield Region(f"{layer.name} {operand}", "tiles", pairs[operand][0], _bytes(bits), i, i)
        for memory in (m for m, (_, written) in mapping.prefetched.items() if written):
            for back, bits in mapping.ahead:
                yield Region(f"{layer.name} weights ahead", "tiles", memory, _bytes(bits), max(i - back, 0), i)


def _passing(layer: Layer, index: int, arch: Arch, residency: Residency) -> Iterator[Region]:
    """Room for two output channels' weights on their way through the memory in which activations stay; for all in a pair of layers."""
    memory, pair = residency.memory or "", residency.cascaded.get(layer.name)
    if "weights" in arch.memories[memory].holds and memory != arch.path("weights")[-1] and not keeps_weights(arch, residency, memory):
        bits = weight_bits(layer) if pair else min(2 * least_weights(layer), weight_bits(layer))
        yield Region(f"{layer.name} weights", "tiles", memory, _bytes(bits), *(pair or (index, index)))
