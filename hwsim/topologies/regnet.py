"""RegNetX-3.2GF (arXiv 2003.13678), as torchvision builds it: the widths follow from w_0 = 88, w_a = 26.31, w_m = 2.25."""

from __future__ import annotations

from hwsim.topologies._net import Net
from hwsim.topologies.resnet import bottleneck

__all__ = ["NETWORKS"]


def _regnet_x_3_2gf(net: Net, image: int) -> str:
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 32, 3, 2)
    for width, depth in ((96, 2), (192, 6), (432, 15), (1008, 2)):
        for block in range(depth):
            x = bottleneck(net, x, width, 1 if block else 2, width, width // 48)
    return net.classify(x)


NETWORKS = {"regnet_x_3_2gf": _regnet_x_3_2gf}
