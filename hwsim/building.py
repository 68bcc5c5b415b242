"""Classic networks written at any precision."""

from __future__ import annotations

import numpy as np

from hwsim.arch import Rules, parse_precision
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.steps.convert_real import to_block_weights, to_real
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.quantize import quantize, ranges_of, standard_rules
from hwsim.steps.read import read
from hwsim.topologies import build

__all__ = ["build_network"]


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


def _random(rng: np.random.Generator, shape: tuple[int, ...], fmt: str) -> np.ndarray:
    """Normal numbers for real inputs, small indices for the others."""
    return rng.standard_normal(shape, np.float32) if fmt.startswith("float") else rng.integers(0, 1000, shape)
