"""Traces of the Hessian by layer (HAWQ-V2, Dong et al., NeurIPS 2020): how sharply the loss bends when a layer's weights move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.quant import Array

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Curvature", "curvatures", "hutchinson"]

PROBES = 50
ENOUGH = 1e-3
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Curvature:
    """Of one layer's weights: the mean of the Hessian's diagonal (trace / number of weights), its standard error over the probes, and
    the mean squared gradient of a sample (the diagonal of the empirical Fisher matrix)."""

    mean_trace: float
    error: float
    fisher: float


def curvatures(
    graph: Graph, x: Array, y: Array, layers: Sequence[str], seed: int = 0, probes: int = PROBES, progress: Progress | None = None
) -> dict[str, Curvature]:
    """The curvature of the cross-entropy at each of some layers, on samples x with class labels y; `graph` has their batch.

    Hutchinson's estimate tr(H) = E[z' H z] with z of -1 and 1 (algorithm 1), until no layer's mean moves by more than 0.1 % of the
    largest, and at most `probes` times.  Raises HwsimError when PyTorch is not installed and for operators without gradients.
    """
    try:
        import torch

        from hwsim.pipeline.torch_graph import forward, tensor
    except ImportError:
        raise HwsimError("--trace", "must have PyTorch", "an environment without it", "pip install 'hwsim[train]'") from None
    nodes = {n.name: n for n in graph.nodes}
    names = [nodes[layer].inputs[1] for layer in layers]
    weights = [tensor(graph.tensors[t].constant.array).requires_grad_() for t in names]  # type: ignore[union-attr]
    output = forward(graph, {graph.inputs[0]: tensor(x)}, dict(zip(names, weights, strict=True)))
    losses = _losses(output, torch.from_numpy(np.array(y, np.int64)), graph)
    gradients = torch.autograd.grad(losses.mean(), weights, create_graph=True)
    fisher = _fisher(losses, weights)
    found = hutchinson(gradients, weights, seed, probes, progress)
    sizes = np.array([w.numel() for w in weights])
    means, errors = found.mean(0) / sizes, found.std(0, ddof=1) / np.sqrt(len(found)) / sizes
    return {layer: Curvature(*map(float, row)) for layer, *row in zip(layers, means, errors, fisher, strict=True)}


def hutchinson(
    gradients: Sequence[Tensor], weights: Sequence[Tensor], seed: int = 0, probes: int = PROBES, progress: Progress | None = None
) -> Array:
    """z' H z of each probe and each tensor of weights, (probes, tensors), from gradients that can be differentiated again."""
    import torch

    generator, rows = torch.Generator().manual_seed(seed), list[list[float]]()
    for i in range(probes):
        z = [torch.randint(0, 2, w.shape, generator=generator).to(w.dtype) * 2 - 1 for w in weights]
        products = torch.autograd.grad(gradients, weights, z, retain_graph=True)
        before = np.mean(rows, 0) if rows else None
        rows.append([float((p * v).sum()) for p, v in zip(products, z, strict=True)])
        now = np.mean(rows, 0)
        if progress:
            progress(i + 1, probes)
        if before is not None and np.abs(now - before).max() <= ENOUGH * np.abs(now).max() and i > 1:
            break
    return np.array(rows)


def _losses(output: Tensor, y: Tensor, graph: Graph) -> Tensor:
    """The cross-entropy of each sample; the output is logits, or the probabilities of a softmax."""
    last = graph.producer[graph.outputs[0]]
    logs = output.clamp(min=1e-12).log() if last.op == "softmax" and not last.attrs["log"] else output.log_softmax(1)
    if logs.ndim < 2 or logs.shape[0] != len(y) or y.numel() != logs.numel() // logs.shape[1]:
        raise HwsimError("--trace", "must have class labels for each output", f"labels of shape {tuple(y.shape)}")
    picked = logs.gather(1, y.reshape(len(y), 1, *logs.shape[2:]))
    return -picked.reshape(len(y), -1).mean(1)


def _fisher(losses: Tensor, weights: Sequence[Tensor]) -> list[float]:
    """The mean squared gradient of a sample, averaged over a layer's weights."""
    import torch

    sums = [0.0] * len(weights)
    for loss in losses:
        for k, g in enumerate(torch.autograd.grad(loss, weights, retain_graph=True)):
            sums[k] += float(g.square().mean())
    return [s / len(losses) for s in sums]
