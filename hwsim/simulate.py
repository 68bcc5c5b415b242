"""The floor plan: one network on one chip, from the files' contents to the Result."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from hwsim.arch import Arch
from hwsim.cost import Cost
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph
from hwsim.io.arch_yaml import load_areas, load_costs, load_scaling
from hwsim.io.dataset import Dataset
from hwsim.mapping import Given, Mapping
from hwsim.memory_plan import MemoryPlan
from hwsim.program import Program
from hwsim.result import Result
from hwsim.scoring import Progress, Runs, scored_result
from hwsim.steps.area import areas
from hwsim.steps.check import CheckReport, check
from hwsim.steps.estimate import appraiser, estimate
from hwsim.steps.fidelity import play_program, retimed
from hwsim.steps.lower import lower
from hwsim.steps.map_layers import map_layers
from hwsim.steps.place import FALLBACK
from hwsim.steps.plan_memory import plan_memory
from hwsim.steps.prefetch import prefetch_weights
from hwsim.steps.prices import Prices, prices_of
from hwsim.steps.residency import Residency, plan_residency
from hwsim.steps.staging import stage_weights
from hwsim.steps.timeline import timeline
from hwsim.trace import Trace

__all__ = ["FIDELITIES", "LaidOut", "TimedRun", "area_of", "check_fit", "lay_out", "price", "run_in_time", "simulate"]

FIDELITIES = ("analytical", "event")


def simulate(
    arch: Arch,
    graph: Graph,
    data: Dataset | None = None,
    metric: str | None = None,
    engine: str = "numba",
    batch: int = 64,
    progress: Progress | None = None,
    mapper: str = "",
    objective: str = "latency",
    threads: int = 1,
    fidelity: str = "analytical",
    contention: bool = True,
) -> Result:
    """One network on one chip: check, lower, price; with data execute and score too, `batch` samples at a time in each of `threads`.

    `fidelity` and `contention` are those of `run_in_time`.  `progress(done, total)` is called after each batch.  Raises HwsimError for
    what the chip or the data cannot be.
    """
    report = check(arch, graph)
    program = lower(graph, arch)
    run = run_in_time(arch, program, mapper, objective, fidelity, contention)
    plan = plan_memory(program, arch, run.laid.residency, run.laid.mappings)
    result = _result(arch, graph, run, plan, tuple(f.message for f in report.findings))
    return result if data is None else scored_result(result, arch, graph, data, Runs(engine, batch, threads), metric, progress)


def check_fit(arch: Arch, graph: Graph) -> tuple[CheckReport, Cost | None]:
    """The deployability report of a network, and the cost that says whether it fits; None when an operator has no place at all."""
    report = check(arch, graph)
    placed = arch.fallback is not None or all(p.unit != FALLBACK for p in report.placements)
    return report, price(arch, lower(graph, arch)) if placed else None


def price(
    arch: Arch,
    program: Program,
    mapper: str = "",
    residency: Residency | None = None,
    objective: str = "latency",
    given: Given | None = None,
) -> Cost:
    """The cost of a program on its chip, mapped for the least latency, energy or product of both (`edp`).

    The mapper is the chip's own unless another is named.  `residency` is that of the whole where the program is a part of it;
    `given` are parts of mappings that are known, by layer: what they are is up to the mapper.
    """
    laid = lay_out(arch, program, mapper, residency, objective, given)
    return estimate(program, arch, laid.mappings, laid.residency, laid.prices)


def area_of(arch: Arch) -> dict[str, float]:
    """mm2 of every part of a chip that its file describes."""
    return areas(arch, load_areas(), load_scaling())


def run_in_time(
    arch: Arch, program: Program, mapper: str = "", objective: str = "latency", fidelity: str = "analytical", contention: bool = True
) -> TimedRun:
    """A program in its place and its cost: added up (`analytical`), or with the times and the trace of a run in events (`event`).

    Without `contention` that run assumes what the analytical model does.  Raises HwsimError for an unknown fidelity.
    """
    if fidelity not in FIDELITIES:
        raise HwsimError("fidelity", f"must be one of {', '.join(FIDELITIES)}", repr(fidelity), suggest(fidelity, FIDELITIES))
    laid = lay_out(arch, program, mapper, objective=objective)
    cost = estimate(program, arch, laid.mappings, laid.residency, laid.prices)
    if fidelity == "analytical":
        return TimedRun(laid, cost, None)
    trace = play_program(program, arch, laid.mappings, cost, contention)
    return TimedRun(laid, retimed(cost, trace, arch, laid.prices), trace)


@dataclass(frozen=True)
class LaidOut:
    """A program in its place on a chip: all that an estimate needs beside the two."""

    mappings: list[Mapping]
    residency: Residency
    prices: Prices


def lay_out(
    arch: Arch,
    program: Program,
    mapper: str = "",
    residency: Residency | None = None,
    objective: str = "latency",
    given: Given | None = None,
) -> LaidOut:
    """The mapping of a program, as `price` takes it; a part of one has nobody to fetch its weights ahead."""
    whole = residency is None
    residency = residency or plan_residency(program, arch)
    prices = prices_of(arch, load_costs(arch.energy.table), load_scaling())
    appraise = appraiser(arch, prices)
    mappings = map_layers(program, arch, residency, prices, mapper or arch.mapper, objective, appraise, given)
    mappings = stage_weights(program, arch, residency, mappings)
    if whole:
        mappings = prefetch_weights(program, arch, residency, mappings, appraise)
    return LaidOut(mappings, residency, prices)


@dataclass(frozen=True)
class TimedRun:
    """A program in its place, what it costs, and the trace where its time was played."""

    laid: LaidOut
    cost: Cost
    trace: Trace | None


def _result(arch: Arch, graph: Graph, run: TimedRun, plan: MemoryPlan, findings: tuple[str, ...]) -> Result:
    sizes = [m.size for m in arch.memories.values() if m.on_chip]
    capacity = None if None in sizes else sum(s for s in sizes if s) // 8
    versions = {"hwsim": version("hwsim"), "numpy": np.__version__, "python": platform.python_version()}
    return Result(
        arch.name,
        arch.title,
        arch.hash,
        arch.validation.text,
        arch.assumed,
        graph.name,
        graph.hash,
        versions,
        graph.tensors[graph.inputs[0]].shape[0],
        run.cost,
        timeline(run.cost),
        capacity,
        arch.multipliers,
        area_of(arch),
        findings,
        trace=run.trace,
        memory_plan=plan,
    )
