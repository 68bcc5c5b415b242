"""EfficientNet-B0 (arXiv 1905.11946), as torchvision builds it."""

from __future__ import annotations

from hwsim.topologies._net import Net
from hwsim.topologies.mobilenet import inverted_residual

__all__ = ["NETWORKS"]

B0 = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))


def _b0(net: Net, image: int) -> str:
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 32, 3, 2, act="Silu")
    for expansion, kernel, stride, channels, depth in B0:
        for block in range(depth):
            c = net.shapes[x][1]
            x = inverted_residual(net, x, expansion * c, channels, kernel, 1 if block else stride, "Silu", c // 4, "Silu", "Sigmoid")
    return net.classify(net.conv_bn(x, 1280, act="Silu"))


NETWORKS = {"efficientnet_b0": _b0}
