"""ShuffleNet v2 (arXiv 1807.11164), as torchvision builds it; the channel shuffle is Reshape, Transpose, Reshape."""

from __future__ import annotations

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]


def _shuffle(net: Net, x: str) -> str:
    """The channels of the two halves take turns."""
    n, c, h, w = net.shapes[x]
    return net.reshape(net.transpose(net.reshape(x, (n, 2, c // 2, h, w)), (0, 2, 1, 3, 4)), (n, c, h, w))


def _depthwise(net: Net, x: str, stride: int) -> str:
    return net.conv_bn(x, net.shapes[x][1], 3, stride, groups=net.shapes[x][1], act=None)


def _unit(net: Net, x: str, channels: int, stride: int) -> str:
    """Half of the channels pass by; at stride 2 both halves are computed from all channels."""
    left, right = (x, x) if stride == 2 else net.split(x, 2)
    if stride == 2:
        left = net.conv_bn(_depthwise(net, x, 2), channels // 2)
    right = net.conv_bn(_depthwise(net, net.conv_bn(right, channels // 2), stride), channels // 2)
    return _shuffle(net, net.concat([left, right]))


def _v2(net: Net, image: int, width: int) -> str:
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, image, image)), 24, 3, 2), 3, 2, 1)
    for stage, depth in enumerate((4, 8, 4)):
        for block in range(depth):
            x = _unit(net, x, width << stage, 1 if block else 2)
    return net.classify(net.conv_bn(x, 1024))


NETWORKS = {"shufflenet_v2_x0_5": lambda net, image: _v2(net, image, 48), "shufflenet_v2_x1_0": lambda net, image: _v2(net, image, 116)}
