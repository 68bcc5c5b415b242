"""ConvNeXt-Tiny (arXiv 2201.03545), as torchvision builds it: layer normalization over channels between two transpositions."""

from __future__ import annotations

from hwsim.topologies._attention import feed_forward
from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _norm(net: Net, x: str) -> str:
    """Over the channels of each position."""
    return net.transpose(net.layer_norm(net.transpose(x, LAST), 1e-6), FIRST)


def _block(net: Net, x: str) -> str:
    c = net.shapes[x][1]
    y = net.layer_norm(net.transpose(net.conv(x, c, 7, groups=c, bias=True), LAST), 1e-6)
    y = net.transpose(feed_forward(net, y, 4 * c), FIRST)
    return net.add(x, net.mul(y, net.weight(f"block{net.count}.layer_scale", (c, 1, 1), 0.1, 0.5)))


def _tiny(net: Net, image: int) -> str:
    x = _norm(net, net.conv(net.input("input", (1, 3, image, image)), 96, 4, 4, 0, bias=True))
    for stage, depth in enumerate((3, 3, 9, 3)):
        x = net.conv(_norm(net, x), 96 << stage, 2, 2, 0, bias=True) if stage else x
        for _ in range(depth):
            x = _block(net, x)
    return net.linear(net.layer_norm(net.flatten(net.global_pool(x)), 1e-6), 1000)


NETWORKS = {"convnext_tiny": _tiny}
