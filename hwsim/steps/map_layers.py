"""Layers laid out on the chip: unrolled over its multipliers, tiled for every level of memory, and the traffic that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

from hwsim import formats
from hwsim.arch import OPERANDS, Arch
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Tensor
from hwsim.mapping import NO_WORK, OBJECTIVES, Given, Level, Mapping, Problem, Tiling, Traffic, Work
from hwsim.program import Layer, Program
from hwsim.shelf import load
from hwsim.steps.levels import Crossing, crossings_of, move, move_tiles, once_of, problem_of, weights_of
from hwsim.steps.place import FREE
from hwsim.steps.prices import Prices
from hwsim.steps.residency import Residency, storage_bits

__all__ = ["Appraise", "map_layers"]

Chain = tuple[Tiling, ...]
Appraise = Callable[[Layer, Mapping], tuple[int, float]]


def map_layers(
    program: Program,
    arch: Arch,
    residency: Residency,
    prices: Prices,
    mapper: str,
    objective: str,
    appraise: Appraise,
    given: Given | None = None,
) -> list[Mapping]:
    """A mapping for every layer, in run order; `appraise` says what a layer costs in cycles and pJ as it is mapped.

    A mapper that lays out whole layers by itself does so for those on arrays, with what is `given` of them.

    Raises HwsimError for an unknown mapper or objective.
    """
    if objective not in OBJECTIVES:
        raise HwsimError("objective", f"must be one of {', '.join(OBJECTIVES)}", repr(objective), suggest(objective, OBJECTIVES))
    module = load("mappers", mapper)
    lay_out = getattr(module, "lay_out", None)
    search = Search(arch, residency, prices, (load("mappers", "greedy") if lay_out else module).propose, objective, appraise)
    return [
        lay_out(layer, arch, (given or {}).get(layer.name, {})) if lay_out and layer.unit in arch.arrays else search.layer(layer, i)
        for i, layer in enumerate(program.layers)
    ]


@dataclass
class Search:
    """The way from layers to mappings; layers that look alike are searched once."""

    arch: Arch
    residency: Residency
    prices: Prices
    propose: Callable[[Problem, Sequence[Level], str], Iterator[Chain]]
    objective: str
    appraise: Appraise
    known: dict[Any, tuple[int, Chain]] = field(default_factory=dict)

    @cached_property
    def crossings(self) -> dict[bool, list[Crossing]]:
        """The boundaries of layers whose live set stays on chip, and of others."""
        return {stays: crossings_of(stays, self.arch, self.residency, self.prices) for stays in (False, True)}

    def layer(self, layer: Layer, index: int) -> Mapping:
        """The mapping of one layer."""
        if layer.unit == FREE or layer.loops is None:
            return _untiled(layer, index, self.arch, self.residency)
        crossings = self.crossings[self.residency.fits[index]]
        problem = problem_of(layer)
        mapped = _Layout(layer, index, problem, once_of(layer, problem), self.arch, self.residency, crossings)
        alike = (problem, layer.loops, layer.unit, layer.precision, *mapped.once.values(), *(c.level is None for c in crossings))
        if alike not in self.known:
            self.known[alike] = self._search(mapped)
        option, chain = self.known[alike]
        work = works(self.arch, layer)[option]
        if layer.name in self.residency.cascaded:
            work = replace(work, how="; ".join(w for w in (work.how, "strip by strip with its neighbour") if w))
        return mapped.mapping(work, chain)

    def _search(self, layout: _Layout) -> tuple[int, Chain]:
        """The best of what the mapper proposes; where that is more than one chain, every way to unroll is tried with the best of them."""
        levels = [c.level for c in layout.crossings if c.level is not None]
        first, *others = self.propose(layout.problem, levels, self.objective)
        if not others:
            return 0, first
        options = works(self.arch, layout.layer)

        def worth(choice: tuple[int, Chain]) -> tuple[bool, float, float]:
            return self._worth(layout, options[choice[0]], choice[1])

        best = min(((0, c) for c in (first, *others)), key=worth)
        return min([best, *((i, best[1]) for i in range(1, len(options)))], key=worth)

    def _worth(self, layout: _Layout, work: Work, chain: Chain) -> tuple[bool, float, float]:
        mapping = layout.mapping(work, chain)
        cycles, energy_pj = self.appraise(layout.layer, mapping)
        first = {"latency": cycles, "energy": energy_pj, "edp": cycles * energy_pj}[self.objective]
        return not mapping.fits, first, cycles if self.objective == "energy" else energy_pj


def _untiled(layer: Layer, index: int, arch: Arch, residency: Residency) -> Mapping:
    """Layers without products stream through the memories, into an array where it has them; free ones do nothing."""
    traffic = {name: Traffic() for name in arch.memories}
    if layer.unit == FREE:
        return Mapping(NO_WORK, (), traffic, 0, residency.fits[index])
    work = works(arch, layer)[0]
    if layer.unit in arch.arrays:
        _feed_array(layer, arch, work, traffic)
    _stream(layer, arch, residency, traffic, near=layer.unit not in arch.arrays)
    return Mapping(work, (), traffic, 1, residency.fits[index])


@dataclass(frozen=True)
class _Layout:
    """One layer before its unrolling and tiles are chosen."""

    layer: Layer
    index: int
    problem: Problem
    once: dict[str, int]
    arch: Arch
    residency: Residency
    crossings: list[Crossing]

    def mapping(self, work: Work, chain: Chain) -> Mapping:
        """The layer laid out in one way, with its traffic."""
        arch, layer = self.arch, self.layer
        traffic = {name: Traffic() for name in arch.memories}
        on_array = layer.unit in arch.arrays
        if on_array:
            _feed_array(layer, arch, work, traffic)
        else:
            _feed_once(layer, self.problem, arch, traffic)
        feed = {name: (t.read_bits, t.write_bits) for name, t in traffic.items()}
        move_tiles(layer, self.problem, self.once, self.crossings, chain, self.residency, traffic)
        trips = prod(t.trips for t in chain) if on_array else 1
        fits = all(t.fits for t in chain)
        return Mapping(work, chain, traffic, trips, self.residency.fits[self.index], fits, feed)


def works(arch: Arch, layer: Layer) -> list[Work]:
    """What the layer's array can do with it, the fastest first; off the arrays there is one way, of no work."""
    array = arch.arrays.get(layer.unit)
    if array is None:
        return [NO_WORK]
    kind = load("arrays", array.kind)
    found: list[Work] = kind.options(array, layer, arch.clock_hz) if hasattr(kind, "options") else [kind.work(array, layer, arch.clock_hz)]
    macs = layer.loops.macs if layer.loops else 0
    assert all(w.slots >= w.mapped_slots >= macs for w in found), "an array cannot do more MACs than it has slots"
    return found


def _feed_array(layer: Layer, arch: Arch, work: Work, traffic: dict[str, Traffic]) -> None:
    """What the array reads from and writes to the nearest memories; partial sums that do not stay in it go out and come back."""
    homes = {**{o: arch.path(o)[0] for o in OPERANDS}, "sums": arch.path("outputs")[0], "tables": arch.path("weights")[0]}
    for operand, count in work.reads.items():
        traffic[homes[operand]].add("read", operand, count * _element_bits(layer, operand))
    traffic[homes["sums"]].add("write", "sums", work.writes.get("sums", 0) * layer.steps[0].accumulator.bits)
    stored = storage_bits(layer.output)
    traffic[homes["outputs"]].add("write", "outputs", max(work.laid_out * formats.get(layer.output.format).bits, stored))


def _element_bits(layer: Layer, operand: str) -> int:
    if operand in ("sums", "tables"):
        return layer.steps[0].accumulator.bits if operand == "sums" else 8
    return formats.get(layer.weight if operand == "weights" else layer.activation).bits


def _feed_once(layer: Layer, problem: Problem, arch: Arch, traffic: dict[str, Traffic]) -> None:
    """What the fallback reads and writes: every element once."""
    traffic[arch.path("weights")[0]].add("read", "weights", weights_of(problem))
    traffic[arch.path("inputs")[0]].add("read", "inputs", sum(storage_bits(t) for t in layer.steps[0].inputs[:1] if t is not None))
    traffic[arch.path("outputs")[0]].add("write", "outputs", storage_bits(layer.output))


def _stream(layer: Layer, arch: Arch, residency: Residency, traffic: dict[str, Traffic], near: bool) -> None:
    """Operators without products read and write every element once, through all memories from the one in which it stays.

    `near`: from and to the nearest ones too.
    """
    for operand, tensors in (("inputs", _read_bits(layer)), ("outputs", [(t, storage_bits(t)) for t in layer.steps[-1].outputs])):
        path = arch.path(operand)
        for t, bits in tensors:
            if near:
                traffic[path[0]].add("read" if operand == "inputs" else "write", operand, bits)
            for pair in pairwise(path):
                if t.name not in residency.tensors or pair[0] != residency.memory:
                    move(traffic, operand, pair, bits)


def _read_bits(layer: Layer) -> list[tuple[Tensor, int]]:
    """What a layer reads of tensors that it does not make, and how much of each: all, or what the operator says that it touches."""
    own, found = {t.name for s in layer.steps for t in s.outputs}, []
    for step in layer.steps:
        touched = getattr(load("ops", step.op), "touched", None)
        for i, t in enumerate(step.inputs):
            if t is not None and t.name not in own:
                elements = min(touched(step.outputs), t.elements) if touched and i == 0 else t.elements
                found.append((t, elements * formats.get(t.format).bits))
    return found
