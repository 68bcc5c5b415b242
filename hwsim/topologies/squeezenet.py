"""SqueezeNet 1.1 (arXiv 1602.07360), as torchvision builds it."""

from __future__ import annotations

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOL_BEFORE = (0, 2, 4)


def _fire(net: Net, x: str, squeezed: int, expanded: int) -> str:
    x = net.relu(net.conv(x, squeezed, bias=True))
    return net.concat([net.relu(net.conv(x, expanded, kernel, bias=True)) for kernel in (1, 3)])


def _squeezenet1_1(net: Net, image: int) -> str:
    x = net.relu(net.conv(net.input("input", (1, 3, image, image)), 64, 3, 2, 0, bias=True))
    for i, (squeezed, expanded) in enumerate(FIRES):
        x = net.max_pool(x, 3, 2, ceil=True) if i in POOL_BEFORE else x
        x = _fire(net, x, squeezed, expanded)
    return net.flatten(net.global_pool(net.relu(net.conv(x, 1000, bias=True))))


NETWORKS = {"squeezenet1_1": _squeezenet1_1}
