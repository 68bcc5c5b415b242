"""Costs whose time is played in events instead of added up: every layer takes as long as it did on the machine."""

from __future__ import annotations

from dataclasses import replace

from hwsim.arch import Arch
from hwsim.cost import Cost, LayerCost
from hwsim.mapping import Mapping
from hwsim.program import Program
from hwsim.steps.energy import by_part, time_energy
from hwsim.steps.event import flow, play
from hwsim.steps.flow import flowing
from hwsim.steps.prices import Prices
from hwsim.steps.spans import bounds, row_hits
from hwsim.steps.tiles import tiled
from hwsim.trace import Trace

__all__ = ["play_program", "retimed"]


def play_program(program: Program, arch: Arch, mappings: list[Mapping], cost: Cost, contention: bool = True) -> Trace:
    """What happens when the program runs, after its analytical `cost`; without contention, what that model assumes.

    The whole takes no less than its busiest unit, and no more than everything one after the other.
    """
    parts = list(zip(program.layers, mappings, cost.layers, strict=False))
    layers = [tiled(arch, *p) for p in parts]
    log = play(arch, layers) if contention else flow([flowing(arch, *p) for p in parts])
    host = cost.layers[len(parts) :]
    for row in host:
        log.after(row.name, row.total_cycles)
    least, most = (b + sum(row.total_cycles for row in host) for b in bounds(layers))
    trace = log.trace(least, most, row_hits(layers), contention)
    assert not contention or least <= trace.cycles <= most + len(trace.layers), "between the roofline and everything one after the other"
    return trace


def retimed(cost: Cost, trace: Trace, arch: Arch, prices: Prices) -> Cost:
    """The cost with the trace's times: what waiting adds is part of `memory`, and leakage lasts as long as the layer."""
    rows = (_row(row, end - start, arch, prices) for row, (_, start, end) in zip(cost.layers, trace.layers, strict=True))
    return replace(cost, layers=tuple(rows))


def _row(row: LayerCost, cycles: int, arch: Arch, prices: Prices) -> LayerCost:
    parts, left = {}, cycles
    for part in ("overhead", "compute", "vector"):
        parts[part] = min(row.cycles[part], left)
        left -= parts[part]
    energy = {**row.energy_pj, **by_part(time_energy(arch, prices, cycles))}
    return replace(row, cycles={p: left if p == "memory" else parts[p] for p in row.cycles}, energy_pj=energy)
