"""BERT-Base, uncased (arXiv 1810.04805), with its pooler, as Hugging Face's BertModel: the output is the pooled first token.

The input is token ids (int64); all tokens belong to the first segment and none is masked.  The size that `build` takes is the
number of tokens.
"""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.topologies._attention import attention, feed_forward
from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

IMAGE = {"bert_base": 128}
WIDTH, HEADS, DEPTH, VOCABULARY, POSITIONS, SEGMENTS = 768, 12, 12, 30522, 512, 2
EPSILON = 1e-12


def _embedding(net: Net, name: str, entries: int, indices: str) -> str:
    return net.gather(net.weight(f"{name}.embedding", (entries, WIDTH), 0.02), indices)


def _embeddings(net: Net, tokens: int) -> str:
    x = _embedding(net, "word", VOCABULARY, net.input("input_ids", (1, tokens), "int64"))
    x = net.add(x, _embedding(net, "segment", SEGMENTS, net.constant("segment.index", np.int64(0))))
    return net.layer_norm(net.add(x, _embedding(net, "position", POSITIONS, net.constant("position.index", np.arange(tokens)))), EPSILON)


def _layer(net: Net, x: str) -> str:
    q, k, v = (net.linear(x, WIDTH) for _ in range(3))
    x = net.layer_norm(net.add(x, net.linear(attention(net, q, k, v, HEADS), WIDTH)), EPSILON)
    return net.layer_norm(net.add(x, feed_forward(net, x, 4 * WIDTH)), EPSILON)


def _base(net: Net, tokens: int) -> str:
    if tokens > POSITIONS:
        raise HwsimError("image", f"must be at most {POSITIONS} tokens for bert_base", tokens)
    x = _embeddings(net, tokens)
    for _ in range(DEPTH):
        x = _layer(net, x)
    return net.act(net.linear(net.flatten(net.slice(x, 0, 1, axis=1)), WIDTH), "Tanh")


NETWORKS = {"bert_base": _base}
