"""Vision Transformer ViT-B/16 (arXiv 2010.11929), as torchvision builds it."""

from __future__ import annotations

from hwsim.topologies._attention import feed_forward, joint_attention
from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

WIDTH, HEADS, DEPTH, PATCH = 768, 12, 12, 16


def _tokens(net: Net, image: int) -> str:
    """Patches as tokens, the class token in front, positions added."""
    x = net.conv(net.input("input", (1, 3, image, image)), WIDTH, PATCH, PATCH, 0, bias=True)
    x = net.transpose(net.reshape(x, (1, WIDTH, -1)), (0, 2, 1))
    first = net.for_each_image(net.weight("class_token", (1, 1, WIDTH), 0.02), x)
    x = net.concat([first, x])
    return net.add(x, net.weight("position_embedding", (1, net.shapes[x][1], WIDTH), 0.02))


def _b_16(net: Net, image: int) -> str:
    x = _tokens(net, image)
    for _ in range(DEPTH):
        x = net.add(x, joint_attention(net, net.layer_norm(x, 1e-6), HEADS))
        x = net.add(x, feed_forward(net, net.layer_norm(x, 1e-6), 4 * WIDTH))
    first = net.slice(net.layer_norm(x, 1e-6), 0, 1, axis=1)
    return net.linear(net.flatten(first), 1000)


NETWORKS = {"vit_b_16": _b_16}
