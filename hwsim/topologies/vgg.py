"""AlexNet (arXiv 1404.5997) and VGG-16 (1409.1556), as torchvision builds them.

torchvision's adaptive pooling does nothing at 224; another image size here changes the first fully-connected layer instead.
"""

from __future__ import annotations

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]


def _classifier(net: Net, x: str) -> str:
    x = net.flatten(x)
    for _ in range(2):
        x = net.relu(net.linear(x, 4096))
    return net.linear(x, 1000)


def _alexnet(net: Net, image: int) -> str:
    x = net.relu(net.conv(net.input("input", (1, 3, image, image)), 64, 11, 4, 2, bias=True))
    x = net.relu(net.conv(net.max_pool(x, 3, 2), 192, 5, bias=True))
    x = net.max_pool(x, 3, 2)
    for channels in (384, 256, 256):
        x = net.relu(net.conv(x, channels, 3, bias=True))
    return _classifier(net, net.max_pool(x, 3, 2))


def _vgg16(net: Net, image: int) -> str:
    x = net.input("input", (1, 3, image, image))
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            x = net.relu(net.conv(x, channels, 3, bias=True))
        x = net.max_pool(x, 2, 2)
    return _classifier(net, x)


NETWORKS = {"alexnet": _alexnet, "vgg16": _vgg16}
