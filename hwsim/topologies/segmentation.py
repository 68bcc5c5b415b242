"""Semantic segmentation: FCN and DeepLabV3 (arXiv 1706.05587) on ResNet-50 as torchvision runs them, without auxiliary head; U-Net.

`unet` is that of arXiv 1505.04597 (64 to 1024 channels, biases, no batch normalization, one input channel, two classes) except
that its 3x3 convolutions are padded, so that the output is as large as the input.
"""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.topologies._net import Net
from hwsim.topologies.resnet import trunk

__all__ = ["NETWORKS"]

IMAGE = {"fcn_resnet50": 520, "deeplabv3_resnet50": 520, "unet": 256}
CLASSES = 21


def _features(net: Net, image: int) -> str:
    return trunk(net, image, (3, 4, 6, 3), dilated=True)


def _scores(net: Net, x: str, image: int) -> str:
    """Scores of all classes for every pixel of the image."""
    return net.resize(net.conv(x, CLASSES, bias=True), (image, image))


def _fcn(net: Net, image: int) -> str:
    return _scores(net, net.conv_bn(_features(net, image), 512, 3), image)


def _pyramid(net: Net, x: str) -> str:
    """Atrous spatial pyramid: what each position sees at several rates, and the mean over all positions."""
    parts = [net.conv_bn(x, 256), *(net.conv_bn(x, 256, 3, dilation=rate) for rate in (12, 24, 36))]
    mean = net.resize(net.conv_bn(net.global_pool(x), 256), net.shapes[x][2:])
    return net.conv_bn(net.concat([*parts, mean]), 256)


def _deeplabv3(net: Net, image: int) -> str:
    return _scores(net, net.conv_bn(_pyramid(net, _features(net, image)), 256, 3), image)


def _twice(net: Net, x: str, channels: int) -> str:
    for _ in range(2):
        x = net.relu(net.conv(x, channels, 3, bias=True))
    return x


def _unet(net: Net, image: int) -> str:
    if image % 16:
        raise HwsimError("image", "must be a multiple of 16 for unet", image)
    x, skipped = net.input("input", (1, 1, image, image)), []
    for channels in (64, 128, 256, 512):
        skipped.append(_twice(net, x, channels))
        x = net.max_pool(skipped[-1], 2, 2)
    x = _twice(net, x, 1024)
    for skip in reversed(skipped):
        channels = net.shapes[skip][1]
        x = _twice(net, net.concat([skip, net.conv_transpose(x, channels, 2, 2)]), channels)
    return net.conv(x, 2, bias=True)


NETWORKS = {"fcn_resnet50": _fcn, "deeplabv3_resnet50": _deeplabv3, "unet": _unet}
