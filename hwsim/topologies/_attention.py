"""The two halves of a transformer layer, on tensors whose last axes are positions and features."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.topologies._net import Net

__all__ = ["attention", "feed_forward", "joint_attention"]


def attention(net: Net, q: str, k: str, v: str, heads: int, biases: Sequence[str] = ()) -> str:
    """softmax(q k' / sqrt(d) + biases) v for each head of d features, heads side by side again."""
    *lead, length, width = net.shapes[q]
    r, d = len(lead), width // heads
    rows, columns = (*range(r), r + 1, r, r + 2), (*range(r), r + 1, r + 2, r)
    q, k, v = (net.transpose(net.reshape(t, (*net.shapes[t][:-1], heads, d)), p) for t, p in ((q, rows), (k, columns), (v, rows)))
    scores = net.matmul(net.scale(q, d**-0.5), k)
    for bias in biases:
        scores = net.add(scores, bias)
    return net.reshape(net.transpose(net.matmul(net.softmax(scores), v), rows), (*lead, length, width))


def joint_attention(net: Net, x: str, heads: int, biases: Sequence[str] = ()) -> str:
    """Self-attention whose queries, keys and values come out of one fully-connected layer, and another one behind."""
    width = net.shapes[x][-1]
    q, k, v = net.split(net.linear(x, 3 * width), 3, axis=-1)
    return net.linear(attention(net, q, k, v, heads, biases), width)


def feed_forward(net: Net, x: str, hidden: int) -> str:
    """Two fully-connected layers with Gelu between."""
    return net.linear(net.gelu(net.linear(x, hidden)), net.shapes[x][-1])
