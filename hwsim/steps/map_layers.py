"""Layers laid out on the chip: the fastest unrolling, tiles for every level of memory, and the traffic that follows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np

from hwsim import formats
from hwsim.arch import OPERANDS, Arch
from hwsim.mappers.greedy import traffic_bits
from hwsim.mapping import NO_WORK, Mapping, Problem, Tiling, Traffic, Work
from hwsim.program import Layer, Program
from hwsim.shelf import load
from hwsim.steps.place import FREE
from hwsim.steps.residency import Residency, storage_bits, weight_bits

__all__ = ["map_layers"]


def map_layers(program: Program, arch: Arch, residency: Residency, mapper: str = "greedy") -> list[Mapping]:
    """A mapping for every layer, in run order."""
    return [_map_layer(layer, i, arch, residency, mapper) for i, layer in enumerate(program.layers)]


def _map_layer(layer: Layer, index: int, arch: Arch, residency: Residency, mapper: str) -> Mapping:
    traffic = {name: Traffic() for name in arch.memories}
    if layer.unit == FREE:
        return Mapping(NO_WORK, (), traffic, 0, residency.fits[index])
    if layer.loops is None:
        _stream(layer, arch, residency, traffic)
        return Mapping(NO_WORK, (), traffic, 1, residency.fits[index])
    work, array = NO_WORK, arch.arrays.get(layer.unit)
    if array is not None:
        work = load("arrays", array.kind).work(array, layer, arch.clock_hz)
        assert work.slots >= work.mapped_slots >= layer.loops.macs, "an array cannot do more MACs than it has slots"
        _feed_array(layer, arch, work, traffic)
    else:
        _feed_once(layer, arch, traffic)
    feed = {name: (t.read_bits, t.write_bits) for name, t in traffic.items()}
    tilings = _tile_levels(layer, index, arch, residency, mapper, traffic)
    return Mapping(
        work,
        tuple(tilings),
        traffic,
        prod(t.trips for t in tilings) if array is not None else 1,
        residency.fits[index],
        all(t.fits for t in tilings),
        feed,
    )


def _feed_array(layer: Layer, arch: Arch, work: Work, traffic: dict[str, Traffic]) -> None:
    """What the array reads from and writes to the nearest memories; partial sums that do not stay in it go out and come back."""
    bits = {
        "weights": formats.get(layer.weight).bits,
        "inputs": formats.get(layer.activation).bits,
        "sums": layer.steps[0].accumulator.bits,
    }
    homes = {**{o: arch.path(o)[0] for o in OPERANDS}, "sums": arch.path("outputs")[0]}
    for operand, count in work.reads.items():
        traffic[homes[operand]].add("read", operand, count * bits[operand])
    traffic[homes["sums"]].add("write", "sums", work.writes.get("sums", 0) * bits["sums"])
    traffic[homes["outputs"]].add("write", "outputs", storage_bits(layer.output))


def _feed_once(layer: Layer, arch: Arch, traffic: dict[str, Traffic]) -> None:
    """What the fallback reads and writes: every element once."""
    problem = _problem(layer)
    traffic[arch.path("weights")[0]].add("read", "weights", _weights(problem))
    traffic[arch.path("inputs")[0]].add("read", "inputs", sum(storage_bits(t) for t in layer.steps[0].inputs[:1] if t is not None))
    traffic[arch.path("outputs")[0]].add("write", "outputs", storage_bits(layer.output))


def _tile_levels(layer: Layer, index: int, arch: Arch, residency: Residency, mapper: str, traffic: dict[str, Traffic]) -> list[Tiling]:
    """Tiles from the outermost boundaries inward; a tile of one level is the problem of the next.

    Biases and scales, and what fused steps read besides, come in once whatever the tiles.
    """
    problem, repeats, tilings = _problem(layer), 1, []
    once = {"weights": max(weight_bits(layer) - _weights(problem), 0), "inputs": _second_operands(layer)}
    for inside in boundaries(arch):
        inner = {o: pair[0] for o, pair in inside.items()}
        kept = {"weights"} if "weights" in inner and _keeps_weights(arch, residency, inner["weights"]) else set()
        tiling = None
        if inner.get("outputs", "") == residency.memory and residency.fits[index]:
            moved = _resident_traffic(layer, residency)
        else:
            tiling = _tile(problem, {o: m for o, m in inner.items() if o not in kept}, arch, residency, mapper)
            moved = {o: repeats * bits + once.get(o, 0) for o, bits in _tiled_traffic(problem, tiling).items()}
            tilings.append(tiling)
        for o in (o for o in inside if o not in kept):
            _move(traffic, o, inside[o], moved[o])
        if tiling is not None:
            problem, repeats = _inner(problem, tiling), repeats * tiling.trips
    return tilings


def boundaries(arch: Arch) -> list[dict[str, tuple[str, str]]]:
    """Level by level from the outside, the (inner, outer) memories between which each operand moves.

    A boundary lies one level below those that fill its outer memory.
    """
    pairs = [(outer, inner, o) for o in OPERANDS for inner, outer in pairwise(arch.path(o))]
    levels: list[dict[str, tuple[str, str]]] = []
    filled: dict[str, int] = {}
    order = list(arch.memories)
    for outer, inner, o in sorted(pairs, key=lambda p: -order.index(p[0])):
        level = filled.get(outer, 0)
        filled[inner] = max(filled.get(inner, 0), level + 1)
        levels += [{}] * (level + 1 - len(levels))
        levels[level] = {**levels[level], o: (inner, outer)}
    return levels


def _keeps_weights(arch: Arch, residency: Residency, memory: str) -> bool:
    """Whether weights stay in a memory, or in one nearer, from one inference to the next."""
    path = arch.path("weights")
    return bool(residency.keeps_weights.intersection(path[: path.index(memory) + 1]))


def _weights(p: Problem) -> int:
    return p.groups * p.outputs * p.channels * p.kernel * p.weight_bits


def _tiled_traffic(p: Problem, t: Tiling) -> dict[str, int]:
    g, k, c, r = np.array([t.groups, t.outputs, t.channels, t.rows])
    return {o: int(v) for o, v in traffic_bits(p, g, k, c, r, np.asarray(t.outer == "inputs")).items()}


def _second_operands(layer: Layer) -> int:
    """Bits of what fused steps read besides the layer's own results: the other side of a sum."""
    made = {t.name for s in layer.steps for t in s.outputs}
    return sum(storage_bits(t) for s in layer.steps[1:] for t in s.inputs if t is not None and t.constant is None and t.name not in made)


def _move(traffic: dict[str, Traffic], operand: str, pair: tuple[str, str], bits: int) -> None:
    """Bits across one boundary: out of one memory and into the other."""
    if bits == 0:
        return
    source, target = pair if operand == "outputs" else pair[::-1]
    traffic[source].add("read", operand, bits)
    traffic[target].add("write", operand, bits)


def _tile(problem: Problem, inner: dict[str, str], arch: Arch, residency: Residency, mapper: str) -> Tiling:
    """The mapper's tiling of what moves into the inner memories, in what kept weights leave of them."""
    shared: dict[str, list[str]] = {}
    for o, m in inner.items():
        shared.setdefault(m, []).append(o)
    sizes = {m: arch.memories[m].size for m in shared}
    free = {m: size if size is None or m not in residency.keeps_weights else size - residency.weight_bits for m, size in sizes.items()}
    capacities = {tuple(operands): free[m] for m, operands in shared.items()}
    buffers = {o: 2 if arch.memories[m].double_buffered else 1 for o, m in inner.items()}
    tiling: Tiling = load("mappers", mapper).tile(problem, capacities, buffers)
    return tiling


def _inner(p: Problem, t: Tiling) -> Problem:
    """A tile as the problem of the next level."""
    rows = int(min((t.rows - 1) * p.stride + p.kernel_rows, p.input_rows))
    split = t.channels < p.channels
    return replace(
        p,
        groups=t.groups,
        outputs=t.outputs,
        channels=t.channels,
        rows=t.rows,
        input_rows=rows,
        output_bits=p.sum_bits if split else p.output_bits,
    )


def _resident_traffic(layer: Layer, residency: Residency) -> dict[str, int]:
    """Across the outermost boundary when the layer's live set stays on chip: constants once, activations only if they are elsewhere."""
    x, own = layer.steps[0].inputs[0], {t.name for s in layer.steps for t in s.outputs}
    read = {t.name: t for s in layer.steps for t in s.inputs if t is not None and t.constant is None and t.name not in own}
    away = {name: storage_bits(t) for name, t in read.items() if name not in residency.tensors}
    if x is not None and x.name in away:
        away[x.name] = _tiled_traffic(p := _problem(layer), Tiling(p.groups, p.outputs, p.channels, p.rows, "inputs", 1, True))["inputs"]
    out = [t for t in layer.steps[-1].outputs if t.name not in residency.tensors]
    return {"weights": weight_bits(layer), "inputs": sum(away.values()), "outputs": sum(storage_bits(t) for t in out)}


def _problem(layer: Layer) -> Problem:
    """The layer as tiles see it."""
    loops, step = layer.loops, layer.steps[0]
    assert loops is not None
    x, attrs = step.inputs[0], step.node.attrs
    assert x is not None
    bits = {
        "weight_bits": formats.get(layer.weight).bits,
        "input_bits": formats.get(layer.activation).bits,
        "output_bits": formats.get(layer.output.format).bits,
        "sum_bits": step.accumulator.bits,
    }
    if step.op == "conv":
        size = (1, *x.shape[2:])[-2:]
        stride, dilation = (1, *attrs["strides"])[-2], (1, *attrs["dilations"])[-2]
        reach = (loops.FY - 1) * dilation + 1
        return Problem(
            loops.G,
            loops.K,
            loops.C,
            loops.N * loops.OY,
            loops.OX,
            loops.FY * loops.FX,
            reach,
            min(stride, reach),
            loops.N * size[0],
            size[1],
            **bits,
        )
    if step.op == "conv_transpose":
        rows = loops.N * loops.OY
        positions = layer.output.elements // (loops.G * loops.K * rows)
        return Problem(loops.G, loops.K, loops.C, rows, positions, loops.FY * loops.FX, 1, 1, rows, loops.OX, **bits)
    return Problem(loops.G, loops.K, loops.C, loops.N * loops.OY * loops.OX, 1, 1, 1, 1, loops.N * loops.OY * loops.OX, 1, **bits)


def _stream(layer: Layer, arch: Arch, residency: Residency, traffic: dict[str, Traffic]) -> None:
    """Operators without products read and write every element once, through all memories from the one in which it stays."""
    own = {t.name for s in layer.steps for t in s.outputs}
    for operand, tensors in (
        ("inputs", [t for s in layer.steps for t in s.inputs if t is not None and t.name not in own]),
        ("outputs", list(layer.steps[-1].outputs)),
    ):
        path = arch.path(operand)
        for t in tensors:
            bits = storage_bits(t)
            traffic[path[0]].add("read" if operand == "inputs" else "write", operand, bits)
            for pair in pairwise(path):
                if t.name not in residency.tensors or pair[0] != residency.memory:
                    _move(traffic, operand, pair, bits)
