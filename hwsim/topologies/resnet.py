"""Residual networks: ResNet-18/50/101, Wide ResNet-50-2, ResNeXt-50 32x4d (as torchvision), and MLPerf Tiny's ResNet-8."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.topologies._net import Net

__all__ = ["NETWORKS", "bottleneck", "trunk"]

IMAGE = {"resnet8": 32}


def _basic(net: Net, x: str, width: int, stride: int) -> str:
    y = net.conv_bn(x, width, 3, stride)
    y = net.conv_bn(y, width, 3, act=None)
    return net.relu(net.add(y, _shortcut(net, x, width, stride)))


def _shortcut(net: Net, x: str, width: int, stride: int) -> str:
    return x if stride == 1 and net.shapes[x][1] == width else net.conv_bn(x, width, 1, stride, act=None)


def bottleneck(net: Net, x: str, width: int, stride: int, inner: int, groups: int, dilation: int = 1) -> str:
    """1x1 to the inner width, 3x3, 1x1 to the outer width, and a shortcut around."""
    y = net.conv_bn(x, inner)
    y = net.conv_bn(y, inner, 3, stride, groups=groups, dilation=dilation)
    y = net.conv_bn(y, width, act=None)
    return net.relu(net.add(y, _shortcut(net, x, width, stride)))


def trunk(net: Net, image: int, depths: Sequence[int], basic: bool = False, base: int = 64, groups: int = 1, dilated: bool = False) -> str:
    """The four stages; `dilated` keeps the last two at stride 8 (segmentation)."""
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, image, image)), 64, 7, 2), 3, 2, 1)
    rate = 1
    for stage, depth in enumerate(depths):
        for block in range(depth):
            width, first = 64 << stage, block == 0 and stage > 0
            stride = 2 if first and not (dilated and stage > 1) else 1
            inner = width * base // 64 * groups
            x = _basic(net, x, width, stride) if basic else bottleneck(net, x, 4 * width, stride, inner, groups, rate)
            rate *= 2 if first and stride == 1 else 1
    return x


def _classifier(net: Net, image: int, depths: Sequence[int], basic: bool = False, base: int = 64, groups: int = 1) -> str:
    return net.classify(trunk(net, image, depths, basic, base, groups))


def _resnet8(net: Net, image: int) -> str:
    """MLPerf Tiny image classification: three stages of one basic block; biases everywhere, shortcuts without normalization."""
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 16, 3, bias=True)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.conv_bn(x, width, 3, stride, "same", bias=True)
        y = net.conv_bn(y, width, 3, act=None, bias=True)
        x = net.relu(net.add(x if stride == 1 else net.conv(x, width, 1, stride, bias=True), y))
    size = net.shapes[x][2]
    return net.softmax(net.linear(net.flatten(net.avg_pool(x, size, size)), 10))


NETWORKS = {
    "resnet8": _resnet8,
    "resnet18": lambda net, image: _classifier(net, image, (2, 2, 2, 2), basic=True),
    "resnet50": lambda net, image: _classifier(net, image, (3, 4, 6, 3)),
    "resnet101": lambda net, image: _classifier(net, image, (3, 4, 23, 3)),
    "wide_resnet50_2": lambda net, image: _classifier(net, image, (3, 4, 6, 3), base=128),
    "resnext50": lambda net, image: _classifier(net, image, (3, 4, 6, 3), base=4, groups=32),
}
