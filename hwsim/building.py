"""Classic networks written at any precision."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from hwsim.arch import Rules, parse_precision
from hwsim.errors import HwsimError
from hwsim.graph import Constant, Graph, SourceGraph, SourceTensor
from hwsim.steps.convert_real import to_block_weights, to_real
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.quantize import quantize, ranges_of, standard_rules
from hwsim.steps.read import read
from hwsim.topologies import build

__all__ = ["build_network", "network_to_price"]

FEW = 64


def build_network(name: str, bits: str = "fp32", image: int | None = None, rules: Rules | None = None, seed: int = 0) -> SourceGraph:
    """A classic network with random weights: float, QDQ (ranges from random inputs), or with block-quantized weights alone.

    Raises HwsimError for an unknown network or precision.
    """
    try:
        weight, activation = parse_precision(bits)
    except ValueError as e:
        raise HwsimError("--bits", str(e)) from None
    widths = [v for v in (weight, activation) if isinstance(v, int)]
    if "fp8" in (weight, activation) or not all(2 <= v <= 16 for v in widths):
        raise HwsimError("--bits", "must be a precision that ONNX can hold: 2 to 16 bits, fp32, fp16 or bf16", repr(bits))
    source = build(name, image, seed)
    if bits == "fp32":
        return source
    if isinstance(weight, str):
        return to_real(source, weight)
    source = fold_batch_norm(source)
    if isinstance(activation, str):
        return to_block_weights(source, weight, activation)
    graph = read(source)
    rng = np.random.default_rng(seed)
    feeds = {t: _random(rng, graph.tensors[t].shape, graph.tensors[t].format) for t in graph.inputs}
    return quantize(source, rules or standard_rules(), bits, ranges_of(graph, [feeds]))


def network_to_price(name: str, bits: str, image: int | None = None, batch: int = 1, rules: Rules | None = None) -> Graph:
    """A classic network for estimates alone: real shapes at a precision, no numbers in it, and inputs and outputs as a runtime hands
    them over, stored where the chip's rules store them.

    Raises HwsimError for an unknown network or precision.
    """
    source = build(name, image)
    try:
        weight, activation = parse_precision(bits)
    except ValueError as e:
        raise HwsimError("precision", str(e)) from None
    if isinstance(activation, int):
        source = flat(fold_batch_norm(source))
        ranges = {t: (-1.0, 1 + i / 64) for i, t in enumerate(read(source).tensors)}  # every tensor with a grid of its own
        source = _stored_ends(quantize(source, rules or standard_rules(), bits, ranges))
    else:
        source = to_real(flat(source), str(weight)) if weight == activation else to_block_weights(flat(source), int(weight), activation)
    shapes = {t: tuple(batch if i == 0 else int(d) for i, d in enumerate(source.tensors[t].shape or ())) for t in source.inputs}
    return read(source, shapes)


def flat(source: SourceGraph) -> SourceGraph:
    """The network with all real constants of more than a few numbers equal to one: shapes without their memory."""
    return replace(source, tensors={name: _flat(t) for name, t in source.tensors.items()})


def _flat(t: SourceTensor) -> SourceTensor:
    shape = tuple(d for d in t.shape or () if isinstance(d, int))
    if t.constant is None or t.format != "float32" or prod(shape) <= FEW:
        return t
    return replace(t, constant=Constant(partial(np.broadcast_to, np.float32(1), shape), t.name))


def _stored_ends(source: SourceGraph) -> SourceGraph:
    """The network without the quantizers of its inputs and the dequantizers of its outputs."""
    first = {n.inputs[0]: n for n in source.nodes if n.kind == "QuantizeLinear" and n.inputs[0] in source.inputs}
    last = {n.outputs[0]: n for n in source.nodes if n.kind == "DequantizeLinear" and n.outputs[0] in source.outputs}
    tensors, gone = dict(source.tensors), {*(n.name for n in first.values()), *(n.name for n in last.values())}
    for name, node in first.items():
        stored = node.outputs[0]
        tensors[stored] = replace(tensors[name], name=stored, format=tensors[node.inputs[2]].format)
    return replace(
        source,
        nodes=tuple(n for n in source.nodes if n.name not in gone),
        inputs=tuple(first[t].outputs[0] if t in first else t for t in source.inputs),
        outputs=tuple(last[t].inputs[0] if t in last else t for t in source.outputs),
        tensors=tensors,
    )


def _random(rng: np.random.Generator, shape: tuple[int, ...], fmt: str) -> np.ndarray:
    """Normal numbers for real inputs, small indices for the others."""
    return rng.standard_normal(shape, np.float32) if fmt.startswith("float") else rng.integers(0, 1000, shape)
