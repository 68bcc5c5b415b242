"""The door to PyTorch for networks: a float Graph's output as a function of its weights, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node
from hwsim.quant import Array
from hwsim.shelf import load

__all__ = ["forward", "run_node", "tensor"]

MOVES = ("reshape", "transpose", "slice", "pad", "expand", "gather", "depth_to_space", "resize")
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "relu": lambda x: x.relu(),
    "clip": lambda x, low=-np.inf, high=np.inf: x.clamp(low, high),
    "leaky_relu": lambda x, alpha=0.01: functional.leaky_relu(x, alpha),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "hard_sigmoid": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
    "hard_swish": lambda x: x * (x / 6 + 0.5).clamp(0, 1),
    "swish": lambda x, alpha=1.0: x * (alpha * x).sigmoid(),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


def tensor(array: Array) -> Tensor:
    """An array as a tensor of its own."""
    return torch.from_numpy(np.array(array))


def forward(graph: Graph, feeds: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """The network's first output; `weights` stand for constants by name.

    Raises HwsimError for an operator that has no gradient here.
    """
    values = dict(feeds)
    for t in (t for t in graph.tensors.values() if t.constant is not None):
        values[t.name] = weights[t.name] if t.name in weights else tensor(t.constant.array)  # type: ignore[union-attr]
    for node in graph.nodes:
        values[node.outputs[0]] = run_node(node, [values[t] if t else None for t in node.inputs])
    return values[graph.outputs[0]]


def run_node(node: Node, x: list[Any]) -> Tensor:
    """One operator.  Raises HwsimError for one that has no gradient here."""
    if node.op in MOVES and node.attrs.get("mode", "nearest") in ("nearest", "constant"):
        return _moved(node, x)
    if node.op in ("unary", "binary") and node.attrs["function"] in FUNCTIONS:
        extra = {k: v for k, v in node.attrs.items() if k in ("alpha", "beta", "low", "high")}
        return FUNCTIONS[node.attrs["function"]](*x, **extra)
    if node.op not in OPERATORS:
        name = node.attrs.get("function", node.op)
        raise HwsimError(node.where, f"must be one of {', '.join((*OPERATORS, *MOVES, *FUNCTIONS))} to have gradients", name)
    return OPERATORS[node.op](node.attrs, *x)


def _moved(node: Node, x: list[Any]) -> Tensor:
    """What moves numbers moves their places first, by its own meaning in NumPy; place 0 is a new number of a padding."""
    if node.op == "pad":
        node = Node(node.name, node.op, node.inputs[:1], node.outputs, {**node.attrs, "value": 0})
    places = np.arange(1, x[0].numel() + 1, dtype=np.float64).reshape(x[0].shape)
    rest = [None if a is None else a.numpy() for a in x[1:]] if node.op == "gather" else []
    found = load("ops", node.op).compute(node, places, *rest).astype(np.int64)
    return torch.cat([x[0].new_zeros(1), x[0].reshape(-1)])[torch.from_numpy(found)]


def _padded(a: Mapping[str, Any], x: Tensor, value: float = 0.0) -> Tensor:
    if any(n < 0 for n in a["after"]):
        used: Any = (..., *(slice(None, min(n, 0) or None) for n in a["after"]))
        x = x[used]
    sides = [n for pair in zip(reversed(a["before"]), (max(n, 0) for n in reversed(a["after"])), strict=True) for n in pair]
    return functional.pad(x, sides, value=value)


def _conv(a: Mapping[str, Any], x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    run: Any = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[w.ndim - 2]
    found: Tensor = run(_padded(a, x), w, bias, tuple(a["strides"]), 0, tuple(a["dilations"]), a["group"])
    return found


def _conv_transpose(a: Mapping[str, Any], x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    run: Any = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}[w.ndim - 2]
    whole = run(x, w, bias, tuple(a["strides"]), 0, 0, a["group"], tuple(a["dilations"]))
    lacking = [max(c + n - s, 0) for c, n, s in zip(a["crop"], a["size"], whole.shape[2:], strict=True)]
    if any(lacking):
        empty = whole.new_zeros(1) if bias is None else bias.reshape(1, -1, *[1] * (w.ndim - 2))
        sides = [n for extra in reversed(lacking) for n in (0, extra)]
        whole = functional.pad(whole - empty, sides) + empty
    found: Tensor = whole[(..., *(slice(c, c + n) for c, n in zip(a["crop"], a["size"], strict=True)))]
    return found


def _matmul(a: Mapping[str, Any], x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    y = (x.mT if a["trans_a"] else x) @ (w.mT if a["trans_b"] else w) * a["alpha"]
    return y if bias is None else y + a["beta"] * bias


def _max_pool(a: Mapping[str, Any], x: Tensor) -> Tensor:
    return functional.max_pool2d(_padded(a, x, -np.inf), tuple(a["kernel"]), tuple(a["strides"]), 0, tuple(a["dilations"]))


def _average_pool(a: Mapping[str, Any], x: Tensor) -> Tensor:
    if a["global"]:
        return x.mean(tuple(range(2, x.ndim)), keepdim=True)
    window = tuple(a["kernel"]), tuple(a["strides"])
    ones = _padded(a, torch.ones_like(x[:1, :1]), 1.0 if a["count_pad"] else 0.0)
    return functional.avg_pool2d(_padded(a, x), *window) / functional.avg_pool2d(ones, *window)


def _batch_norm(a: Mapping[str, Any], x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=a["epsilon"])


def _softmax(a: Mapping[str, Any], x: Tensor) -> Tensor:
    shifted = x * a.get("beta", 1.0)
    found = shifted - shifted.logsumexp(tuple(a["axes"]), keepdim=True)
    return found if a["log"] else found.exp()


def _mean(a: Mapping[str, Any], x: Tensor) -> Tensor:
    if a["function"] not in ("mean", "sum"):
        raise HwsimError("reduce", "must be mean or sum to have gradients", a["function"])
    found: Tensor = (x.mean if a["function"] == "mean" else x.sum)(tuple(a["axes"]), keepdim=a["keep"])
    return found


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "batch_norm": _batch_norm,
    "softmax": _softmax,
    "reduce": _mean,
    "concat": lambda a, *x: torch.cat(x, a["axis"]),
}
