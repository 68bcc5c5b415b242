"""DenseNet-121 (arXiv 1608.06993), as torchvision builds it."""

from __future__ import annotations

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

GROWTH = 32


def _preactivated(net: Net, x: str, channels: int, kernel: int = 1) -> str:
    return net.conv(net.relu(net.batch_norm(x)), channels, kernel)


def _densenet121(net: Net, image: int) -> str:
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, image, image)), 64, 7, 2), 3, 2, 1)
    for stage, depth in enumerate((6, 12, 24, 16)):
        if stage:
            x = net.avg_pool(_preactivated(net, x, net.shapes[x][1] // 2), 2, 2)
        for _ in range(depth):
            x = net.concat([x, _preactivated(net, _preactivated(net, x, 4 * GROWTH), GROWTH, 3)])
    return net.classify(net.relu(net.batch_norm(x)))


NETWORKS = {"densenet121": _densenet121}
