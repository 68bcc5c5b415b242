"""Row-stationary passes between DRAM, a buffer of feature maps and sums, and the elements' own registers (Eyeriss).

`given` holds the mapping by the names of the paper (m, n, e, p, q, r, t); where there is none it is searched.  Filters stream from
DRAM once a pass and come ahead of it; inputs come once for every m outputs, strips of output rows with the rows that they share.
Feature maps with many zeros go coded, three numbers with their runs of zeros in 64 bits (JSSC 2017, section IV-C), and a share of their
time is not hidden.  Elements whose input is zero neither read their filter nor add (section V-D).
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from math import ceil

from hwsim import formats
from hwsim.arch import Arch
from hwsim.arrays.row_stationary import Sets, best_sets, given_sets, nest_of, work_of
from hwsim.graph import Tensor
from hwsim.mac_array import MacArray
from hwsim.mapping import Mapping, Traffic, Work
from hwsim.program import Layer

__all__ = ["lay_out"]

CODED = 64 / 48  # bits stored for each bit of a number that is not zero


def lay_out(layer: Layer, arch: Arch, given: MappingType[str, float]) -> Mapping:
    """The layer's passes and what they move."""
    array = arch.arrays[layer.unit]
    assert array.passes is not None, "asked for by the array"
    sets = given_sets(layer, array, given) if given else _searched(layer, arch, array)
    done, zeros = work_of(array, layer, sets), _zeros(layer.steps[0].inputs[0])
    traffic = {m: Traffic() for m in arch.memories}
    _inside(layer, arch, done, zeros, traffic)
    inputs, outputs = _outside(layer, arch, sets, zeros, traffic)
    dram, filters = arch.path("inputs")[-1], arch.path("weights")[0]
    exposed = array.passes.exposed
    feed = {m: (t.read_bits, t.write_bits) for m, t in traffic.items() if m not in (filters, dram)}
    feed[filters] = (traffic[filters].read_bits, 0)
    lead = {dram: (round(exposed * inputs), round(exposed * outputs))}
    return Mapping(done, (), traffic, 1, feed=feed, lead=lead, idle=zeros)


def _searched(layer: Layer, arch: Arch, array: MacArray) -> Sets:
    """The fastest mapping, by what a word of inputs costs at DRAM where nothing hides it."""
    assert array.passes is not None, "asked for by the array"
    source, dram, u = layer.steps[0].inputs[0], arch.memories[arch.path("inputs")[-1]], array.unroll[0]
    bits = formats.get(layer.activation).bits * _coded(_zeros(source))
    word_cycles = array.passes.exposed * bits / dram.read.per_cycle(arch.clock_hz) / dram.efficiency
    return best_sets(nest_of(layer), array.passes, u.rows, u.columns, word_cycles)


def _zeros(tensor: Tensor | None) -> float:
    return 0.0 if tensor is None or tensor.zeros is None else tensor.zeros


def _inside(layer: Layer, arch: Arch, done: Work, zeros: float, traffic: dict[str, Traffic]) -> None:
    """The buffer's words, and the registers next to the multipliers."""
    assert layer.loops is not None
    activation, weight = formats.get(layer.activation).bits, formats.get(layer.weight).bits
    ifmap, buffer = arch.path("inputs")[0], arch.path("inputs")[-2]
    near, sums = arch.path("weights")[0], arch.path("outputs")[0]
    macs, used = layer.loops.macs, round(layer.loops.macs * (1 - zeros))
    traffic[buffer].add("read", "inputs", done.reads["inputs"] * activation)
    traffic[buffer].add("read", "weights", done.reads["weights"] * weight)
    traffic[buffer].add("read", "sums", done.reads["sums"] * activation)
    traffic[buffer].add("write", "sums", done.writes["sums"] * activation)
    if near != arch.path("weights")[-1]:
        traffic[near].add("write", "weights", done.reads["weights"] * weight)
        traffic[near].add("read", "weights", used * weight)
    if ifmap != buffer:
        traffic[ifmap].add("write", "inputs", done.reads["inputs"] * activation)
        traffic[ifmap].add("read", "inputs", macs * activation)
    if sums != arch.path("outputs")[-2]:
        for side in ("read", "write"):
            traffic[sums].add(side, "sums", used * activation)


def _outside(layer: Layer, arch: Arch, sets: Sets, zeros: float, traffic: dict[str, Traffic]) -> tuple[int, int]:
    """DRAM: filters of every pass, inputs for every m outputs, outputs once; the bits of inputs and outputs."""
    x, step = nest_of(layer), layer.steps[0]
    source = step.inputs[0]
    assert source is not None
    dram = traffic[arch.path("inputs")[-1]]
    u = arch.arrays[layer.unit].unroll[0]
    filters = sets.passes(x, u.rows) * sets.words(x)[1] * formats.get(layer.weight).bits
    whole = (x.rows - 1) * x.stride + x.kernel[0]
    overlap = sets.fetched_rows(x) / whole
    stored = source.elements * formats.get(layer.activation).bits
    inputs = ceil(stored * overlap * -(-x.outputs // sets.m) * _coded(zeros))
    written = layer.output.elements * formats.get(layer.output.format).bits
    outputs = ceil(written * _coded(_zeros(layer.output)))
    dram.add("read", "weights", filters)
    dram.add("read", "inputs", inputs)
    dram.add("write", "outputs", outputs)
    return inputs, outputs


def _coded(zeros: float) -> float:
    return min(1.0, (1 - zeros) * CODED)
