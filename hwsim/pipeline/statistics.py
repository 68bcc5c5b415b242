"""Mean and standard deviation of channels: what a network's batch normalization knows of the data that trained it, or data shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Graph, Shape, SourceGraph
from hwsim.pipeline.align import Statistics
from hwsim.pipeline.forward import forward
from hwsim.quant import Array

__all__ = ["batch_norm_statistics", "measured_statistics", "noise"]

IMAGES = 64


def batch_norm_statistics(source: SourceGraph) -> dict[str, tuple[Array, Array]]:
    """beta and |gamma| of every batch normalization, by the tensor that it makes (Nagel et al., ICCV 2019, section 4.2)."""
    found = {}
    for node in source.nodes:
        parts = [source.tensors[t].constant for t in node.inputs[1:3]] if node.kind == "BatchNormalization" else []
        if parts and all(p is not None for p in parts):
            gamma, beta = (p.array.astype(np.float64) for p in parts if p is not None)
            found[node.outputs[0]] = beta, np.abs(gamma)
    return found


def measured_statistics(
    graph: Graph, feeds: Mapping[str, Array], wanted: Collection[str], known: Statistics
) -> dict[str, tuple[Array, Array]]:
    """The statistics of some tensors on calibration inputs, those `known` made to be so."""
    found: dict[str, tuple[Array, Array]] = {}

    def watch(name: str, values: Array) -> None:
        if name in wanted:
            axes = (0, *range(2, values.ndim))
            found[name] = values.mean(axes, dtype=np.float64), values.std(axes, dtype=np.float64)

    forward(graph, feeds, watch, known)
    return found


def noise(source: SourceGraph, seed: int) -> Array:
    """Inputs to calibrate on where there are no data: N(0, 1).

    Raises HwsimError for a network that knows nothing of its data, and for input dimensions that the file leaves open.
    """
    name = source.inputs[0]
    shape = source.tensors[name].shape or ()
    if not batch_norm_statistics(source):
        raise HwsimError("--data", f"must be given: {source.name} has no batch normalization to take statistics from")
    if not shape or any(not isinstance(d, int) for d in shape[1:]):
        raise HwsimError("--data", f"must be given: input '{name}' has open dimensions", shape)
    sizes: Shape = tuple(int(d) for d in shape[1:])
    return np.random.default_rng(seed).standard_normal((IMAGES, *sizes), np.float32)
