"""Weights copied nearer while the layer before runs, on chips whose DMA stages them.

Equals ProposeWeightBuffering of Vela 5.2.0 (regor, compiler/scheduler.cpp): weights that would come more than once, those of depthwise
layers, and those whose whole copy hides behind the layer before, are staged.  What does not hide comes in slices of output channels;
the first slice is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwsim.arch import Arch, Stages
from hwsim.mapping import Mapping, Traffic
from hwsim.program import Layer, Program, mac_kind
from hwsim.steps.residency import Residency

__all__ = ["stage_weights"]

SLICE = 16


@dataclass(frozen=True)
class _Copy:
    """One layer's copy: its weights and tables once, in bits, the cycles of all of it, and those to hide behind."""

    weights: int
    tables: int
    cycles: float
    per_bit: float
    latency: float
    slack: int


def stage_weights(program: Program, arch: Arch, residency: Residency, mappings: list[Mapping]) -> list[Mapping]:
    """The mappings with their weights staged; as they were where the chip does not stage."""
    stages = arch.dma.stages
    if stages is None:
        return mappings
    found, slack = [], 0
    for layer, mapping, live in zip(program.layers, mappings, residency.live_bits, strict=True):
        staged, slack = _staged(layer, mapping, arch, stages, live, slack) if mapping.work.cycles else (mapping, slack)
        found.append(staged)
    return found


def _staged(layer: Layer, mapping: Mapping, arch: Arch, stages: Stages, live_bits: int, slack: int) -> tuple[Mapping, int]:
    """A layer's mapping, and the cycles that it leaves for the next layer's copy."""
    home, work = arch.path("weights")[0], mapping.work
    read = mapping.traffic[home].read
    if "weights" not in read or home == stages.memory:
        return mapping, work.cycles
    weights, tables, hz = read["weights"] // work.refetches, read.get("tables", 0) // work.refetches, arch.clock_hz
    per_bit = 1 / (arch.memories[home].read.per_cycle(hz) * arch.memories[home].efficiency)
    latency = stages.latency.cycles(hz)
    copy = _Copy(weights, tables, (weights + tables) * per_bit + latency, per_bit, latency, slack)
    size = arch.memories[stages.memory].size
    wanted = mac_kind(layer.steps[0]) != "matmul" and (
        work.refetches > 1 or mac_kind(layer.steps[0]) == "depthwise" or copy.cycles <= slack
    )
    if not wanted or (size is not None and live_bits + weights + tables > size):
        return mapping, work.cycles
    return _copied(layer, mapping, home, stages.memory, copy)


def _copied(layer: Layer, mapping: Mapping, home: str, near: str, copy: _Copy) -> tuple[Mapping, int]:
    """The copy crosses once, tables every time; what came before the layer began costs none of its time."""
    cycles, outputs = mapping.work.cycles, layer.steps[0].outputs[0].shape[1]
    first, tail, stall = 1.0, cycles, 0
    if copy.cycles > copy.slack:
        depth = min(max(SLICE, int(outputs * copy.slack / copy.cycles) // SLICE * SLICE), outputs)
        first, tail = depth / outputs, _part_cycles(mapping, _last_slice(mapping, outputs, depth, copy), outputs)
        waited = first * (copy.weights + copy.tables) * copy.per_bit + copy.latency - copy.slack
        stall = int(max(waited, copy.cycles - copy.slack + tail - cycles, 0))
    ahead = int(first * copy.weights) if copy.slack else 0
    traffic = {name: Traffic(dict(t.read), dict(t.write)) for name, t in mapping.traffic.items()}
    traffic[home].read["weights"] = copy.weights
    traffic[near].add("write", "weights", copy.weights)
    traffic[near].add("read", "weights", copy.weights * mapping.work.refetches)
    early = {home: (ahead, 0), near: (0, ahead)}
    return replace(mapping, traffic=traffic, prefetched=early, ahead=((1, ahead),) if ahead else (), stall_cycles=stall), tail


def _last_slice(mapping: Mapping, outputs: int, first: int, copy: _Copy) -> int:
    """Output channels of the last slice: slices are as deep as the time of the first one lets copies hide."""
    block = mapping.work.unroll.get("K", SLICE)
    depth = int(outputs * _part_cycles(mapping, first, outputs) / copy.cycles)
    depth = -(-depth // block) * block
    depth = max(depth // block * block if depth > block else depth // SLICE * SLICE, SLICE)
    return (outputs - first) % depth or min(depth, outputs)


def _part_cycles(mapping: Mapping, depth: int, outputs: int) -> int:
    """Cycles of some of the output channels."""
    work = mapping.work
    return work.fill + (work.cycles - work.fill) * depth // outputs
