"""Layers with weights as matrix products: rows of the unfolded input times rows of the weights, group by group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.graph import Node
from hwsim.ops._windows import take_windows, window_of
from hwsim.quant import Array

__all__ = ["batches", "bias_of", "is_linear", "output", "rows", "weight_rows", "weights_from_rows"]

CHUNK_BYTES = 48 << 20


def is_linear(node: Node, weights: Array) -> bool:
    """Whether the layer is a convolution, or a product with a plain matrix on the right."""
    if node.op == "matmul":
        return weights.ndim == 2 and not node.attrs["trans_a"] and node.attrs["alpha"] == 1 and node.attrs["beta"] == 1
    return node.op == "conv"


def weight_rows(node: Node, weights: Array) -> Array:
    """Weights as (groups, outputs of a group, K); K runs over input channels, then kernel."""
    if node.op == "matmul":
        return (weights if node.attrs["trans_b"] else weights.T)[None]
    groups = node.attrs["group"]
    return weights.reshape(groups, len(weights) // groups, -1)


def weights_from_rows(node: Node, found: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `weight_rows`."""
    if node.op == "matmul":
        return found[0] if node.attrs["trans_b"] else found[0].T
    return found.reshape(shape)


def rows(node: Node, x: Array) -> Array:
    """The unfolded input (groups, positions, K) of samples x."""
    if node.op == "matmul":
        return x.reshape(1, -1, x.shape[-1])
    windows, groups = take_windows(x, window_of(node.attrs), 0), node.attrs["group"]
    rank, (n, c) = x.ndim - 2, x.shape[:2]
    grouped = windows.reshape(n, groups, c // groups, *windows.shape[2:]) if groups > 1 else windows[:, None]
    order = (1, 0, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
    moved = grouped.transpose(order)
    return moved.reshape(groups, int(np.prod(moved.shape[1 : 2 + rank])), -1)


def output(node: Node, products: Array, x: Array) -> Array:
    """The layer's output from (groups, positions, outputs of a group)."""
    if node.op == "matmul":
        return products.reshape(*x.shape[:-1], -1)
    size = window_of(node.attrs).output(x.shape[2:])
    placed = products.reshape(len(products), len(x), *size, products.shape[-1])
    moved = placed.transpose(1, 0, placed.ndim - 1, *range(2, 2 + len(size)))
    return np.ascontiguousarray(moved.reshape(len(x), -1, *size))


def bias_of(node: Node, bias: Array) -> Array:
    """A bias by output channel, shaped to be added to the layer's output."""
    return bias if node.op == "matmul" else bias.reshape(-1, *[1] * len(node.attrs["kernel"]))


def batches(node: Node, x: Array, k: int) -> Iterator[slice]:
    """Slices of samples whose unfolded inputs stay small; `k` is the length of one row."""
    positions = x[0].size // x.shape[-1] if node.op == "matmul" else int(np.prod(window_of(node.attrs).output(x.shape[2:])))
    groups = 1 if node.op == "matmul" else node.attrs["group"]
    step = max(1, CHUNK_BYTES // max(4 * positions * groups * k, 1))
    return (slice(i, min(i + step, len(x))) for i in range(0, len(x), step))
