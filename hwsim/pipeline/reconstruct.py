"""Block reconstruction: the rounding of all layers of a block learned on the block's output, by gradients through PyTorch.

BRECQ (Li et al., ICLR 2021, eq. 10): AdaRound's relaxation on a block's output, each element weighed by the squared gradient of the
loss (the diagonal of the Fisher matrix).  QDrop (Wei et al., ICLR 2022, eq. 8): quantizers of activations are left out at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hwsim.graph import Graph, Node
from hwsim.pipeline.blocks import Block
from hwsim.pipeline.torch_graph import run_node, tensor
from hwsim.quant import Array, QuantParams
from hwsim.quantizers.adaround import BETA, GAMMA, LAMBDA, WARM, ZETA
from hwsim.steps.plan_quantizers import Plan
from hwsim.steps.read import read
from hwsim.steps.write_qdq import StoredWeights

__all__ = ["Problem", "fisher_weights", "reconstruct"]

STEPS, RATE, BATCH = 800, 1e-2, 32
DROP = 0.5


@dataclass(frozen=True, eq=False)
class Problem:
    """A block with its input in the quantized and the float network, its float output, and the weight of each output element.

    `weights`, `biases` and `activations` are what is chosen so far: by layer, and by tensor.
    """

    block: Block
    quantized: Array
    real: Array
    target: Array
    importance: Array | None
    weights: Mapping[str, StoredWeights]
    biases: Mapping[str, Array]
    activations: Mapping[str, QuantParams]


def fisher_weights(graph: Graph, x: Array, tensors: list[str]) -> dict[str, Array]:
    """Squared gradients of the cross-entropy against the float network's own answer, by tensor, with a mean of 1."""
    found: dict[str, list[Array]] = {t: [] for t in tensors}
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        values = _values(_sized(graph, len(part)), {graph.inputs[0]: tensor(part).requires_grad_()})
        output = values[graph.outputs[0]]
        softmaxed = graph.producer[graph.outputs[0]].op == "softmax"
        logits = torch.log(output.clamp_min(1e-30)) if softmaxed else output.log_softmax(1)
        loss = torch.nn.functional.nll_loss(logits, output.argmax(1), reduction="sum")
        for t, g in zip(tensors, torch.autograd.grad(loss, [values[t] for t in tensors]), strict=True):
            found[t].append(np.square(g.numpy()))
    joined = {t: np.concatenate(parts) for t, parts in found.items()}
    return {t: (g / max(float(g.mean()), 1e-30)).astype(np.float32) for t, g in joined.items()}


def _sized(graph: Graph, samples: int) -> Graph:
    """The graph for so many samples: its reshapes hold their number."""
    return read(graph.source, {t: (samples, *graph.tensors[t].shape[1:]) for t in graph.inputs})


def _values(graph: Graph, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    values = dict(feeds)
    for node in graph.nodes:
        inputs = [values[t] if t in values else _constant(graph, t) for t in node.inputs]
        values[node.outputs[0]] = run_node(node, inputs)
    return values


def _constant(graph: Graph, t: str) -> Tensor | None:
    held = graph.tensors[t].constant if t else None
    return None if held is None else tensor(held.array)


class _Rounding:
    """One layer's weights with a learned part of a step: scale (floor(w / scale) + h(V))."""

    def __init__(self, w: Array, held: StoredWeights) -> None:
        q, shape = held.quant, w.shape
        self.scale, self.zero = (np.asarray(q.spread(a, shape), np.float64) for a in (q.scale, q.zero_point))
        steps = w / self.scale
        self.floor = np.floor(steps)
        self.low, self.high = q.qmin - self.zero, q.qmax - self.zero
        part = np.clip((steps - self.floor - GAMMA) / (ZETA - GAMMA), 1e-4, 1 - 1e-4)
        self.v = tensor(np.log(part / (1 - part)).astype(np.float32)).requires_grad_()
        self.fixed = [tensor(np.broadcast_to(a, shape).astype(np.float32)) for a in (self.floor, self.low, self.high, self.scale)]

    def soft(self) -> Tensor:
        """h(V) in 0 ... 1."""
        return (self.v.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    def weights(self) -> Tensor:
        floor, low, high, scale = self.fixed
        return torch.minimum(torch.maximum(floor + self.soft(), low), high) * scale

    def stored(self) -> Array:
        """The stored numbers that V ends at."""
        u = self.floor + (self.v.detach().numpy() >= 0)
        return np.clip(u, self.low, self.high) + self.zero


def reconstruct(plan: Plan, p: Problem, drop: bool, seed: int) -> dict[str, Array]:
    """The stored weights of the block's layers after learning."""
    rng = torch.Generator().manual_seed(seed)
    layers = {n.name: _Rounding(_array(plan.graph, n.inputs[1]), p.weights[n.name]) for n in p.block.nodes if n.name in p.weights}
    optimizer = torch.optim.Adam([r.v for r in layers.values()], RATE)
    size = min(BATCH, len(p.target))
    sized = {n.name: n for n in _sized(plan.graph, size).nodes}
    nodes = [sized[n.name] for n in p.block.nodes]
    power = max(float(np.square(p.target).mean()), 1e-30)
    data = [tensor(a) for a in (p.quantized, p.real, p.target, np.ones_like(p.target) if p.importance is None else p.importance)]
    for step in range(STEPS):
        picked = torch.randint(len(p.target), (size,), generator=rng)
        xq, xf, target, importance = (d[picked] for d in data)
        x = _dropped(xq, xf, rng) if drop else xq
        found = _block(plan, p, nodes, layers, x, rng if drop else None)
        loss = (importance * (found - target).square()).mean() / power * target.shape[1]
        share = max(0.0, (step / STEPS - WARM) / (1 - WARM))
        if share:
            beta = BETA[0] + (BETA[1] - BETA[0]) * share
            loss = loss + LAMBDA * sum((1 - (2 * r.soft() - 1).abs().pow(beta)).sum() for r in layers.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: r.stored() for name, r in layers.items()}


def _array(graph: Graph, t: str) -> Array:
    held = graph.tensors[t].constant
    assert held is not None
    return held.array


def _block(
    plan: Plan, p: Problem, nodes: Sequence[Node], layers: Mapping[str, _Rounding], x: Tensor, rng: torch.Generator | None
) -> Tensor:
    """The block's output; with `rng` quantizers are left out at random."""
    values = {p.block.input: x}
    for node in nodes:
        inputs = []
        for t in node.inputs:
            value = values[t] if t in values else _constant(plan.graph, t)
            if (t, node.name) in plan.edges and value is not None:
                through = _through(value, p.activations[t])
                value = through if rng is None else _dropped(through, value, rng)
            inputs.append(value)
        if node.name in layers:
            inputs[1] = layers[node.name].weights()
            if node.name in p.biases:
                inputs[2:] = [tensor(p.biases[node.name].astype(np.float32))]
        values[node.outputs[0]] = run_node(node, inputs)
    return values[p.block.output]


def _dropped(quantized: Tensor, real: Tensor, rng: torch.Generator) -> Tensor:
    return torch.where(torch.rand(quantized.shape, generator=rng) < DROP, real, quantized)


def _through(x: Tensor, quant: QuantParams) -> Tensor:
    """A trip through a quantizer, its gradient 1 inside of the range and 0 outside."""
    scale, zero = float(quant.scale), float(quant.zero_point)
    inside = (x / scale).clamp(quant.qmin - zero, quant.qmax - zero)
    return (inside + (inside.round() - inside).detach()) * scale
