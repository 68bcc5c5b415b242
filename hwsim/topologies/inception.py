"""GoogLeNet (arXiv 1409.4842) and Inception v3 (1512.00567), as torchvision runs them: batch normalization, no auxiliary heads.

torchvision's GoogLeNet has 3x3 convolutions where the paper has 5x5, and so has this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

IMAGE = {"inception_v3": 299}

GOOGLENET = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


ROW, COLUMN, HALVED = (1, 7), (7, 1), (3, 2, 0)


def _branch(net: Net, x: str, *layers: tuple[Any, ...]) -> str:
    """Convolutions given as (channels, kernel, stride, pad), one behind the other."""
    for layer in layers:
        x = net.conv_bn(x, *layer)
    return x


def _googlenet_block(net: Net, x: str, channels: Sequence[int]) -> str:
    one, three_in, three, five_in, five, pooled = channels
    return net.concat(
        [
            _branch(net, x, (one, 1)),
            _branch(net, x, (three_in, 1), (three, 3)),
            _branch(net, x, (five_in, 1), (five, 3)),
            _branch(net, net.max_pool(x, 3, 1, 1), (pooled, 1)),
        ]
    )


def _googlenet(net: Net, image: int) -> str:
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 64, 7, 2)
    x = _branch(net, net.max_pool(x, 3, 2, ceil=True), (64, 1), (192, 3))
    for blocks, kernel in zip(GOOGLENET, (3, 3, 2), strict=True):
        x = net.max_pool(x, kernel, 2, ceil=True)
        for channels in blocks:
            x = _googlenet_block(net, x, channels)
    return net.classify(x)


def _a(net: Net, x: str, pooled: int) -> str:
    return net.concat(
        [
            _branch(net, x, (64, 1)),
            _branch(net, x, (48, 1), (64, 5)),
            _branch(net, x, (64, 1), (96, 3), (96, 3)),
            _branch(net, net.avg_pool(x, 3, 1, 1), (pooled, 1)),
        ]
    )


def _b(net: Net, x: str) -> str:
    return net.concat([_branch(net, x, (384, *HALVED)), _branch(net, x, (64, 1), (96, 3), (96, *HALVED)), net.max_pool(x, 3, 2)])


def _c(net: Net, x: str, c: int) -> str:
    return net.concat(
        [
            _branch(net, x, (192, 1)),
            _branch(net, x, (c, 1), (c, ROW), (192, COLUMN)),
            _branch(net, x, (c, 1), (c, COLUMN), (c, ROW), (c, COLUMN), (192, ROW)),
            _branch(net, net.avg_pool(x, 3, 1, 1), (192, 1)),
        ]
    )


def _d(net: Net, x: str) -> str:
    return net.concat(
        [
            _branch(net, x, (192, 1), (320, *HALVED)),
            _branch(net, x, (192, 1), (192, ROW), (192, COLUMN), (192, *HALVED)),
            net.max_pool(x, 3, 2),
        ]
    )


def _fork(net: Net, x: str) -> str:
    return net.concat([_branch(net, x, (384, (1, 3))), _branch(net, x, (384, (3, 1)))])


def _e(net: Net, x: str) -> str:
    return net.concat(
        [
            _branch(net, x, (320, 1)),
            _fork(net, _branch(net, x, (384, 1))),
            _fork(net, _branch(net, x, (448, 1), (384, 3))),
            _branch(net, net.avg_pool(x, 3, 1, 1), (192, 1)),
        ]
    )


def _inception_v3(net: Net, image: int) -> str:
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 32, 3, 2, 0)
    x = net.conv_bn(net.conv_bn(x, 32, 3, pad=0), 64, 3)
    x = net.conv_bn(net.max_pool(x, 3, 2), 80)
    x = net.max_pool(net.conv_bn(x, 192, 3, pad=0), 3, 2)
    for pooled in (32, 64, 64):
        x = _a(net, x, pooled)
    x = _b(net, x)
    for channels in (128, 160, 160, 192):
        x = _c(net, x, channels)
    return net.classify(_e(net, _e(net, _d(net, x))))


NETWORKS = {"googlenet": _googlenet, "inception_v3": _inception_v3}
