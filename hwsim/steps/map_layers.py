"""Layers laid out on the chip: the fastest unrolling, tiles for every level of memory, and the traffic that follows."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

import numpy as np

from hwsim import formats
from hwsim.arch import OPERANDS, Arch, MacArray
from hwsim.mappers.greedy import traffic_bits
from hwsim.mapping import Mapping, Problem, Tiling, Traffic
from hwsim.program import Layer, LoopNest, Program
from hwsim.shelf import load
from hwsim.steps.residency import Residency, storage_bits, weight_bits

__all__ = ["map_layers"]

W_LOOPS = ("G", "K", "C", "FY", "FX")


def map_layers(program: Program, arch: Arch, residency: Residency, mapper: str = "greedy") -> list[Mapping]:
    """A mapping for every layer, in run order."""
    return [_map_layer(layer, i, arch, residency, mapper) for i, layer in enumerate(program.layers)]


def _map_layer(layer: Layer, index: int, arch: Arch, residency: Residency, mapper: str) -> Mapping:
    traffic = {name: Traffic() for name in arch.memories}
    if layer.loops is None or layer.unit not in arch.arrays:
        fits = _stream(layer, arch, residency, traffic)
        return Mapping({}, 0, 0, (), traffic, 1, residency.fits[index], fits)
    unroll, cycles, slots = best_unroll(arch.arrays[layer.unit], layer.loops, layer.rate)
    _feed_array(layer, arch, arch.arrays[layer.unit], unroll, traffic)
    feed = {name: (t.read_bits, t.write_bits) for name, t in traffic.items()}
    tilings = _tile_levels(layer, index, arch, residency, mapper, traffic)
    return Mapping(unroll, cycles, slots, tuple(tilings), traffic, prod(t.trips for t in tilings), residency.fits[index], all(t.fits for t in tilings), feed)


def best_unroll(array: MacArray, loops: LoopNest, rate: float) -> tuple[dict[str, int], int, int]:
    """The unrolling that needs the fewest cycles; edges that do not fill the array count in full."""
    best: tuple[dict[str, int], int, int] | None = None
    for u in array.unroll:
        steps = prod(ceil(loops.size(d) / u.get(d, 1)) for d in ("N", "G", "K", "C", "OY", "OX", "FY", "FX"))
        found = ({str(k): v for k, v in u.items()}, ceil(steps / rate), steps * array.multipliers)
        if best is None or found[1] < best[1]:
            best = found
    assert best is not None and best[2] >= loops.macs, "an array cannot do more MACs than it has slots"
    return best


def _feed_array(layer: Layer, arch: Arch, array: MacArray, unroll: dict[str, int], traffic: dict[str, Traffic]) -> None:
    """What the array reads from and writes to the nearest memories: one fetch per step, except for what stays in its registers."""
    loops = layer.loops
    assert loops is not None
    trips = {d: ceil(loops.size(d) / unroll.get(d, 1)) for d in ("N", "G", "K", "C", "OY", "OX", "FY", "FX")}
    width = {d: min(unroll.get(d, 1), loops.size(d)) for d in trips}
    steps = prod(trips.values())
    held = {"weight_stationary": ("weights", ("N", "OY", "OX")), "input_stationary": ("inputs", ("K",)),
            "row_stationary": ("weights", ("OX",))}.get(array.dataflow, ("", ()))
    bits = {"weights": formats.get(layer.weight).bits, "inputs": formats.get(layer.activation).bits}
    elements = {"weights": prod(width[d] for d in W_LOOPS), "inputs": _input_elements(layer, width)}
    for operand, count in elements.items():
        fetches = steps // prod(trips[d] for d in held[1]) if held[0] == operand else steps
        traffic[arch.path(operand)[0]].add("read", operand, fetches * count * bits[operand])
    traffic[arch.path("outputs")[0]].add("write", "outputs", storage_bits(layer.output))


def _input_elements(layer: Layer, width: dict[str, int]) -> int:
    """Input elements under one step of the array: rows and columns that windows share are fetched once."""
    a = layer.steps[0].node.attrs
    stride, dilation = ((1, 1, *a.get(k, ()))[-2:] for k in ("strides", "dilations"))
    spans = [(width[o] - 1) * stride[i] + (width[f] - 1) * dilation[i] + 1 for i, (o, f) in enumerate((("OY", "FY"), ("OX", "FX")))]
    apart = [width[o] * width[f] for o, f in (("OY", "FY"), ("OX", "FX"))]
    return width["G"] * width["C"] * width["N"] * prod(min(s, p) for s, p in zip(spans, apart, strict=True))


def _tile_levels(layer: Layer, index: int, arch: Arch, residency: Residency, mapper: str, traffic: dict[str, Traffic]) -> list[Tiling]:
    """Tiles from the outermost boundary inward; a tile of one level is the problem of the next."""
    problem, repeats, tilings = _problem(layer), 1, []
    extra = weight_bits(layer) - problem.groups * problem.outputs * problem.channels * problem.kernel * problem.weight_bits
    for depth in range(1, max(len(arch.path(o)) for o in OPERANDS)):
        inside = [o for o in OPERANDS if len(arch.path(o)) > depth]
        keeps = {o for o in inside if arch.path(o)[-depth - 1] == residency.memory}
        if "outputs" in keeps and residency.fits[index]:
            moved = _resident_traffic(layer, residency)
            tiling = None
        else:
            tiling = _tile(problem, inside, depth, arch, mapper)
            tilings.append(tiling)
            sides = [np.int64(v) for v in (tiling.groups, tiling.outputs, tiling.channels, tiling.rows)]
            moved = {o: int(v) for o, v in traffic_bits(problem, *sides, np.bool_(tiling.outer == "inputs")).items()}
            moved["inputs"] += _second_operands(layer) // repeats
        if arch.path("weights")[-depth - 1 :][0] in residency.keeps_weights:
            moved["weights"], extra = 0, 0
        for o in inside:
            _move(arch, traffic, o, depth, repeats * moved[o] + (max(extra, 0) if o == "weights" else 0))
        if tiling is not None:
            problem, repeats = _inner(problem, tiling), repeats * tiling.trips
    return tilings


def _second_operands(layer: Layer) -> int:
    """Bits of what fused steps read besides the layer's own results: the other side of a sum."""
    made = {t.name for s in layer.steps for t in s.outputs}
    return sum(storage_bits(t) for s in layer.steps[1:] for t in s.inputs if t is not None and t.constant is None and t.name not in made)


def _move(arch: Arch, traffic: dict[str, Traffic], operand: str, depth: int, bits: int) -> None:
    """Bits across one boundary: out of one memory and into the other."""
    if bits == 0:
        return
    path = arch.path(operand)
    inner, outer = path[-depth - 1], path[-depth]
    source, target = (inner, outer) if operand == "outputs" else (outer, inner)
    traffic[source].add("read", operand, bits)
    traffic[target].add("write", operand, bits)


def _tile(problem: Problem, inside: list[str], depth: int, arch: Arch, mapper: str) -> Tiling:
    shared: dict[str, list[str]] = {}
    for o in inside:
        shared.setdefault(arch.path(o)[-depth - 1], []).append(o)
    capacities = {tuple(operands): arch.memories[m].size for m, operands in shared.items()}
    buffers = {o: 2 if arch.memories[arch.path(o)[-depth - 1]].double_buffered else 1 for o in inside}
    tiling: Tiling = load("mappers", mapper).tile(problem, capacities, buffers)
    return tiling


def _inner(p: Problem, t: Tiling) -> Problem:
    """A tile as the problem of the next level."""
    rows = int(min((t.rows - 1) * p.stride + p.kernel_rows, p.input_rows))
    split = t.channels < p.channels
    return replace(p, groups=t.groups, outputs=t.outputs, channels=t.channels, rows=t.rows, input_rows=rows,
                   output_bits=p.sum_bits if split else p.output_bits)


def _resident_traffic(layer: Layer, residency: Residency) -> dict[str, int]:
    """Across the outermost boundary when the layer's live set stays on chip: weights once, activations only if they are elsewhere."""
    away = [t for s in layer.steps for t in s.inputs if t is not None and t.constant is None and t.name not in residency.tensors
            and t.name not in {o.name for own in layer.steps for o in own.outputs}]
    out = [t for t in layer.steps[-1].outputs if t.name not in residency.tensors]
    p = _problem(layer)
    return {"weights": p.groups * p.outputs * p.channels * p.kernel * p.weight_bits, "inputs": sum(storage_bits(t) for t in away),
            "outputs": sum(storage_bits(t) for t in out)}


def _problem(layer: Layer) -> Problem:
    """The layer as tiles see it."""
    loops, step = layer.loops, layer.steps[0]
    assert loops is not None
    x, attrs = step.inputs[0], step.node.attrs
    assert x is not None
    bits = {"weight_bits": formats.get(layer.weight).bits, "input_bits": formats.get(layer.activation).bits,
            "output_bits": formats.get(layer.output.format).bits, "sum_bits": step.accumulator.bits}
    if step.op == "conv":
        size = (1, *x.shape[2:])[-2:]
        stride, dilation = (1, *attrs["strides"])[-2], (1, *attrs["dilations"])[-2]
        reach = (loops.FY - 1) * dilation + 1
        return Problem(loops.G, loops.K, loops.C, loops.N * loops.OY, loops.OX, loops.FY * loops.FX, reach, stride,
                       loops.N * size[0], size[1], **bits)
    if step.op == "conv_transpose":
        positions = layer.output.elements // (loops.G * loops.K * loops.N * loops.OY)
        return Problem(loops.G, loops.K, loops.C, loops.N * loops.OY, positions, loops.FY * loops.FX, 1, 1, loops.N * loops.OY, loops.OX, **bits)
    return Problem(loops.G, loops.K, loops.C, loops.N * loops.OY * loops.OX, 1, 1, 1, 1, loops.N * loops.OY * loops.OX, 1, **bits)


def _stream(layer: Layer, arch: Arch, residency: Residency, traffic: dict[str, Traffic]) -> bool:
    """Operators off the array read and write every element once, through all memories on the way."""
    own = {t.name for s in layer.steps for t in s.outputs}
    for operand, tensors in (("inputs", [t for s in layer.steps for t in s.inputs if t is not None and t.name not in own]),
                             ("outputs", list(layer.steps[-1].outputs))):
        path = arch.path(operand)
        for t in tensors:
            bits = storage_bits(t)
            traffic[path[0]].add("read" if operand == "inputs" else "write", operand, bits)
            for depth in range(1, len(path)):
                if depth > 1 or t.name not in residency.tensors:
                    _move(arch, traffic, operand, depth, bits)
    return True


