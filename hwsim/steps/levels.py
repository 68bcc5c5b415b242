"""The boundaries between memories that a layer's operands cross, what tiles move over them, and what lies inside already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from hwsim import formats
from hwsim.arch import OPERANDS, Arch
from hwsim.mappers._traffic import inside, moved_elements, traffic_bits
from hwsim.mapping import Level, Problem, Tiling, Traffic
from hwsim.program import Layer
from hwsim.steps.prices import Prices
from hwsim.steps.residency import Residency, storage_bits, weight_bits

__all__ = ["Crossing", "boundaries", "crossings_of", "keeps_weights", "move", "move_tiles", "once_of", "problem_of", "weights_of"]


@dataclass(frozen=True)
class Crossing:
    """One boundary: the (inner, outer) memories of each operand that moves, and what a mapper must know of it.

    `level` is None where the layer's live set lies inside for all its life, so that only what is elsewhere comes, once.
    """

    moving: Mapping[str, tuple[str, str]]
    level: Level | None


def crossings_of(stays: bool, arch: Arch, residency: Residency, prices: Prices) -> list[Crossing]:
    """A layer's boundaries from the outermost inward, whose live set `stays` on chip or does not.

    Weights that stay from one inference to the next do not cross theirs.
    """
    found = []
    for pairs in boundaries(arch):
        kept = "weights" in pairs and keeps_weights(arch, residency, pairs["weights"][0])
        moving = {o: pair for o, pair in pairs.items() if not (o == "weights" and kept)}
        home = pairs.get("outputs", ("",))[0] == residency.memory and stays
        found.append(Crossing(moving, None if home else _level(moving, arch, residency, prices)))
    return found


def _level(moving: Mapping[str, tuple[str, str]], arch: Arch, residency: Residency, prices: Prices) -> Level:
    """The inner memories' room for what moves, in what kept weights leave of them, and what moving costs."""
    shared: dict[str, list[str]] = {}
    for o, (inner, _) in moving.items():
        shared.setdefault(inner, []).append(o)
    sizes = {m: arch.memories[m].size for m in shared}
    free = {m: size if size is None or m not in residency.keeps_weights else size - residency.weight_bits for m, size in sizes.items()}
    ways = {o: pair if o == "outputs" else pair[::-1] for o, pair in moving.items()}
    return Level(
        {tuple(operands): free[m] for m, operands in shared.items()},
        {o: 2 if arch.memories[inner].double_buffered else 1 for o, (inner, _) in moving.items()},
        {o: _cycles_per_bit(arch, *way) for o, way in ways.items()},
        {o: prices.memory(arch.memories[a], "read", a) + prices.memory(arch.memories[b], "write", b) for o, (a, b) in ways.items()},
    )


def _cycles_per_bit(arch: Arch, source: str, target: str) -> float:
    read, write = arch.memories[source], arch.memories[target]
    return max(1 / (read.read.per_cycle(arch.clock_hz) * read.efficiency), 1 / (write.write.per_cycle(arch.clock_hz) * write.efficiency))


def move_tiles(
    layer: Layer,
    problem: Problem,
    once: Mapping[str, int],
    crossings: Sequence[Crossing],
    chain: Sequence[Tiling],
    residency: Residency,
    traffic: dict[str, Traffic],
) -> None:
    """Traffic of all boundaries; a tile of one is the problem of the next."""
    whole, repeats, tilings = problem, 1, iter(chain)
    for crossing in crossings:
        if crossing.level is None:
            moved = _resident_traffic(layer, whole, residency)
        else:
            tiling = next(tilings)
            moved = {o: repeats * bits + once.get(o, 0) for o, bits in _tiled_traffic(problem, tiling).items()}
            problem, repeats = inside(problem, tiling), repeats * tiling.trips
        for o, pair in crossing.moving.items():
            move(traffic, o, pair, moved[o])
        if "outputs" in crossing.moving and moved.get("sums"):
            move(traffic, "sums", crossing.moving["outputs"], moved["sums"])


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


def keeps_weights(arch: Arch, residency: Residency, memory: str) -> bool:
    """Whether weights stay in a memory, or in one nearer, from one inference to the next."""
    path = arch.path("weights")
    return bool(residency.keeps_weights.intersection(path[: path.index(memory) + 1]))


def once_of(layer: Layer, p: Problem) -> dict[str, int]:
    """What comes in once whatever the tiles: biases and scales, and what fused steps read besides."""
    return {"weights": max(weight_bits(layer) - weights_of(p), 0), "inputs": _second_operands(layer)}


def weights_of(p: Problem) -> int:
    """Bits of a layer's weights without biases and scales."""
    return p.groups * p.outputs * p.channels * p.kernel * p.weight_bits


def _tiled_traffic(p: Problem, t: Tiling) -> dict[str, int]:
    return traffic_bits(p, _moved(p.geometry, t.groups, t.outputs, t.channels, t.rows, t.order))


@lru_cache(maxsize=4096)
def _moved(p: Problem, groups: int, outputs: int, channels: int, rows: int, order: str) -> dict[str, int]:
    """Elements that tiles of these sizes move, whatever the widths."""
    g, k, c, r = np.array([groups, outputs, channels, rows])
    return {o: int(v) for o, v in moved_elements(p, g, k, c, r, order).items()}


def _second_operands(layer: Layer) -> int:
    """Bits of what fused steps read besides the layer's own results: the other side of a sum."""
    made = {t.name for s in layer.steps for t in s.outputs}
    return sum(storage_bits(t) for s in layer.steps[1:] for t in s.inputs if t is not None and t.constant is None and t.name not in made)


def move(traffic: dict[str, Traffic], operand: str, pair: tuple[str, str], bits: int) -> None:
    """Bits across one boundary: out of one memory and into the other."""
    if bits == 0:
        return
    source, target = pair if operand == "outputs" else pair[::-1]
    traffic[source].add("read", operand, bits)
    traffic[target].add("write", operand, bits)


def _resident_traffic(layer: Layer, p: Problem, residency: Residency) -> dict[str, int]:
    """Across the outermost boundary when the layer's live set stays on chip: constants once, activations only if they are elsewhere."""
    x, own = layer.steps[0].inputs[0], {t.name for s in layer.steps for t in s.outputs}
    read = {t.name: t for s in layer.steps for t in s.inputs if t is not None and t.constant is None and t.name not in own}
    away = {name: storage_bits(t) for name, t in read.items() if name not in residency.tensors}
    if x is not None and x.name in away:
        away[x.name] = _tiled_traffic(p, Tiling(p.groups, p.outputs, p.channels, p.rows, "KRC", 1, True))["inputs"]
    out = [t for t in layer.steps[-1].outputs if t.name not in residency.tensors]
    return {"weights": weight_bits(layer), "inputs": sum(away.values()), "outputs": sum(storage_bits(t) for t in out)}


def problem_of(layer: Layer) -> Problem:
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
