"""Residual networks: ResNet-18/50/101, Wide ResNet-50-2, ResNeXt-50 32x4d (as torchvision), and MLPerf Tiny's ResNet-8."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.topologies._net import Net

__all__ = ["NETWORKS", "trunk"]

IMAGE = {"resnet8": 32}


def _basic(net: Net, x: str, width: int, stride: int) -> str:
    y = net.conv_bn(x, width, 3, stride)
    y = net.conv_bn(y, width, 3, act=None)
    return net.relu(net.add(y, _shortcut(net, x, width, stride)))


def _shortcut(net: Net, x: str, width: int, stride: int) -> str:
    return x if stride == 1 and net.shapes[x][1] == width else net.conv_bn(x, width, 1, stride, act=None)


def _bottleneck(net: Net, x: str, width: int, stride: int, inner: int, groups: int, dilation: int = 1) -> str:
    y = net.conv_bn(x, inner)
    y = net.conv_bn(y, inner, 3, stride, groups=groups, dilation=dilation)
    y = net.conv_bn(y, width, act=None)
    return net.relu(net.add(y, _shortcut(net, x, width, stride)))


def trunk(net: Net, image: int, depths: Sequence[int], bottleneck: bool = True, base: int = 64, groups: int = 1, dilated: bool = False) -> list[str]:
    """The output of each of the four stages; `dilated` keeps the last two at stride 8 (segmentation)."""
    x = net.input("input", (1, 3, image, image))
    x = net.max_pool(net.conv_bn(x, 64, 7, 2), 3, 2, 1)
    stages = []
    for stage, depth in enumerate(depths):
        rate = 1
        for block in range(depth):
            stride = 2 if stage and block == 0 else 1
            if dilated and stage >= 2:
                rate = 2 ** (stage - 2) if block == 0 else 2 ** (stage - 1)
                stride = 1
            width = 64 << stage
            if bottleneck:
                x = _bottleneck(net, x, 4 * width, stride, width * base // 64 * groups, groups, rate)
            else:
                x = _basic(net, x, width, stride)
        stages.append(x)
    return stages


def _classifier(net: Net, image: int, depths: Sequence[int], bottleneck: bool = True, base: int = 64, groups: int = 1) -> str:
    x = trunk(net, image, depths, bottleneck, base, groups)[-1]
    return net.linear(net.flatten(net.global_pool(x)), 1000)


def _resnet8(net: Net, image: int) -> str:
    """MLPerf Tiny image classification: three stages of one basic block; its convolutions keep their biases."""
    x = net.act(net.batch_norm(net.conv(net.input("input", (1, 3, image, image)), 16, 3, bias=True)), "Relu")
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.relu(net.batch_norm(net.conv(x, width, 3, stride, bias=True)))
        y = net.batch_norm(net.conv(y, width, 3, bias=True))
        x = net.relu(net.add(y, x if stride == 1 else net.conv(x, width, 1, stride, bias=True)))
    return net.softmax(net.linear(net.flatten(net.avg_pool(x, 8, 8)), 10))


NETWORKS = {
    "resnet8": _resnet8,
    "resnet18": lambda net, image: _classifier(net, image, (2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda net, image: _classifier(net, image, (3, 4, 6, 3)),
    "resnet101": lambda net, image: _classifier(net, image, (3, 4, 23, 3)),
    "wide_resnet50_2": lambda net, image: _classifier(net, image, (3, 4, 6, 3), base=128),
    "resnext50": lambda net, image: _classifier(net, image, (3, 4, 6, 3), base=4, groups=32),
}
