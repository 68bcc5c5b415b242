"""NVDLA as its vendor's performance sheet lays layers out (nvdla.org, NVDLA performance tool).

Strides fold into channels: C' = ru(C s s, granule), and feature maps and kernels shrink by s.  With nothing given every tensor comes
from DRAM through the convolution buffer (CBUF): features stay there if they are smaller than 32 kernels, else weights do, and what
does not stay comes again for each part of what does.  With on-chip SRAM between, where tensors lie is decided by hand: `given` holds
the sheet's own switches (1 or 0) and divisors (frames that share one fetch of the weights; 0: none)
`dram_in`, `dram_weight_div`, `dram_out`, `sram_read_in`, `sram_weight_div`, `sram_write_out`; and in both cases the sheet's options
`weight_growth` (of Winograd weights), `weight_div` (frames per fetch without SRAM) and `batch` (of a fully-connected layer).
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from math import ceil

from hwsim import formats
from hwsim.arch import Arch
from hwsim.arrays.cmac import folded_channels, stride_of, work
from hwsim.mapping import Mapping, Traffic
from hwsim.program import Layer

__all__ = ["lay_out"]

KERNELS = 32
Given = MappingType[str, float]


@dataclass(frozen=True)
class Volumes:
    """Bits of one layer: input features, outputs after pooling, weights; the least that must lie in the CBUF of weights and features."""

    inputs: float
    outputs: float
    weights: float
    least_weights: float
    least_inputs: float


def lay_out(layer: Layer, arch: Arch, given: Given) -> Mapping:
    """The layer's cycles and traffic, by the sheet's formulae."""
    array = arch.arrays[layer.unit]
    path = arch.path("inputs")
    buffer, dram = path[0], path[-1]
    v = _volumes(layer, arch, given)
    traffic = {m: Traffic() for m in arch.memories}
    done = work(array, layer, arch.clock_hz, int(given.get("batch", 1)))
    if "dram_out" in given:
        _placed(v, given, traffic[path[1]], traffic[dram])
    else:
        size = arch.memories[buffer].size
        for operand, bits in _streamed(v, size or 1 << 62, given.get("weight_div", 1)).items():
            traffic[dram].add("read", operand, ceil(bits))
        traffic[dram].add("write", "outputs", ceil(v.outputs))
    widths = {"inputs": formats.get(layer.activation).bits, "weights": formats.get(layer.weight).bits}
    for operand, count in done.reads.items():
        traffic[buffer].add("read", operand, count * widths[operand])
    traffic[buffer].add("write", "inputs", ceil(v.inputs))
    traffic[buffer].add("write", "weights", ceil(v.weights))
    return Mapping(done, (), traffic, 1)


def _volumes(layer: Layer, arch: Arch, given: Given) -> Volumes:
    array, step, loops = arch.arrays[layer.unit], layer.steps[0], layer.loops
    assert loops is not None and step.inputs[0] is not None
    stride, channels = stride_of(layer), folded_channels(array, layer)
    size = (1, 1, *step.inputs[0].shape[2:])[-2:] if step.op == "conv" else (1, 1)
    height, width, kernel_rows = -(-size[0] // stride), -(-size[1] // stride), -(-loops.FY // stride)
    a, w = formats.get(layer.activation).bits, formats.get(layer.weight).bits
    kernel = channels * kernel_rows * -(-loops.FX // stride) * w
    granule = array.block.K if array.block else 1
    after = layer.output.shape[2:] if step.op == "conv" else ()
    outputs = -(-loops.K // granule) * granule * formats.get(layer.output.format).bits
    for n in after:
        outputs *= n
    rows = min(loops.FY + 1, height)
    growth = given.get("weight_growth", 1.0)
    return Volumes(
        loops.G * channels * height * width * a,
        loops.G * outputs,
        loops.G * kernel * loops.K * growth,
        kernel * KERNELS,
        channels * rows * width * a,
    )


def _placed(v: Volumes, given: Given, sram: Traffic, dram: Traffic) -> None:
    """Traffic where every tensor lies where it is given to lie."""
    for memory, name in ((dram, "dram"), (sram, "sram")):
        divisor = given[f"{name}_weight_div"]
        memory.add("read", "weights", ceil(v.weights / divisor) if divisor else 0)
    dram.add("read", "inputs", ceil(v.inputs * given["dram_in"]))
    dram.add("write", "outputs", ceil(v.outputs * given["dram_out"]))
    sram.add("read", "inputs", ceil(v.inputs * given["sram_read_in"]))
    sram.add("write", "outputs", ceil(v.outputs * given["sram_write_out"]))


def _streamed(v: Volumes, buffer: int, weight_div: float) -> dict[str, float]:
    """Bits read when all comes from DRAM through the buffer."""
    least = buffer / 2 if v.least_weights >= buffer else v.least_weights
    if v.inputs < least:
        room = buffer - least
        return {"inputs": v.inputs, "weights": v.weights / weight_div * (ceil(v.inputs / room) if v.inputs > room else 1)}
    room = buffer - v.least_inputs
    return {"inputs": v.inputs * (ceil(v.weights / room) if v.weights > room else 1), "weights": v.weights / weight_div}
