"""MobileNets: v1 (arXiv 1704.04861, as TensorFlow's reference), v2 (1801.04381) and v3 (1905.02244, both as torchvision).

`mobilenet_v1_025_96` is MLPerf Tiny's visual wake words network: a quarter of the channels, Relu for Relu6, and biases that
the convolutions keep in front of their batch normalization.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.topologies._net import Net

__all__ = ["NETWORKS", "inverted_residual"]

IMAGE = {"mobilenet_v1_025_96": 96}

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
SMALL = (
    (3, 16, 16, True, "Relu", 2),
    (3, 72, 24, False, "Relu", 2),
    (3, 88, 24, False, "Relu", 1),
    (5, 96, 40, True, "HardSwish", 2),
    *[(5, 240, 40, True, "HardSwish", 1)] * 2,
    (5, 120, 48, True, "HardSwish", 1),
    (5, 144, 48, True, "HardSwish", 1),
    (5, 288, 96, True, "HardSwish", 2),
    *[(5, 576, 96, True, "HardSwish", 1)] * 2,
)
LARGE = (
    (3, 16, 16, False, "Relu", 1),
    (3, 64, 24, False, "Relu", 2),
    (3, 72, 24, False, "Relu", 1),
    (5, 72, 40, True, "Relu", 2),
    *[(5, 120, 40, True, "Relu", 1)] * 2,
    (3, 240, 80, False, "HardSwish", 2),
    (3, 200, 80, False, "HardSwish", 1),
    *[(3, 184, 80, False, "HardSwish", 1)] * 2,
    (3, 480, 112, True, "HardSwish", 1),
    (3, 672, 112, True, "HardSwish", 1),
    (5, 672, 160, True, "HardSwish", 2),
    *[(5, 960, 160, True, "HardSwish", 1)] * 2,
)


def _v1(net: Net, image: int, divisor: int = 1, classes: int = 1000, act: str = "Relu6", bias: bool = False) -> str:
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 32 // divisor, 3, 2, "same", act=act, bias=bias)
    for channels, stride in V1:
        x = net.conv_bn(x, net.shapes[x][1], 3, stride, "same", net.shapes[x][1], act=act, bias=bias)
        x = net.conv_bn(x, channels // divisor, act=act, bias=bias)
    return net.softmax(net.classify(x, classes))


def _squeeze_excite(net: Net, x: str, squeezed: int, act: str, gate: str) -> str:
    """Every channel times a number from 0 to 1 that all channels' means decide."""
    y = net.act(net.conv(net.global_pool(x), squeezed, bias=True), act)
    return net.mul(x, net.act(net.conv(y, net.shapes[x][1], bias=True), gate))


def inverted_residual(
    net: Net,
    x: str,
    expanded: int,
    channels: int,
    kernel: int,
    stride: int,
    act: str,
    squeezed: int = 0,
    squeeze_act: str = "Relu",
    gate: str = "HardSigmoid",
) -> str:
    """Expansion, depthwise convolution, squeeze and excitation (unless `squeezed` is 0), projection; around it a shortcut where it fits."""
    y = x if net.shapes[x][1] == expanded else net.conv_bn(x, expanded, act=act)
    y = net.conv_bn(y, expanded, kernel, stride, groups=expanded, act=act)
    if squeezed:
        y = _squeeze_excite(net, y, squeezed, squeeze_act, gate)
    y = net.conv_bn(y, channels, act=None)
    return net.add(x, y) if stride == 1 and net.shapes[x][1] == channels else y


def _v2(net: Net, image: int) -> str:
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 32, 3, 2, act="Relu6")
    for expansion, channels, depth, stride in V2:
        for block in range(depth):
            x = inverted_residual(net, x, expansion * net.shapes[x][1], channels, 3, 1 if block else stride, "Relu6")
    return net.classify(net.conv_bn(x, 1280, act="Relu6"))


def _multiple_of_8(channels: int) -> int:
    """The nearest multiple of 8, and the next one if that is over a tenth less."""
    nearest = max(8, (channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _v3(net: Net, image: int, blocks: Sequence[tuple[int, int, int, bool, str, int]], features: int) -> str:
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 3, image, image)), 16, 3, 2, act="HardSwish")
    for kernel, expanded, channels, squeeze, act, stride in blocks:
        squeezed = _multiple_of_8(expanded // 4) if squeeze else 0
        x = inverted_residual(net, x, expanded, channels, kernel, stride, act, squeezed)
    x = net.conv_bn(x, 6 * net.shapes[x][1], act="HardSwish")
    return net.linear(net.act(net.classify(x, features), "HardSwish"), 1000)


NETWORKS = {
    "mobilenet_v1": _v1,
    "mobilenet_v1_025_96": lambda net, image: _v1(net, image, 4, 2, "Relu", bias=True),
    "mobilenet_v2": _v2,
    "mobilenet_v3_small": lambda net, image: _v3(net, image, SMALL, 1024),
    "mobilenet_v3_large": lambda net, image: _v3(net, image, LARGE, 1280),
}
