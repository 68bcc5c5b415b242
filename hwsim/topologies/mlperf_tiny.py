"""MLPerf Tiny (arXiv 2106.07597): DS-CNN for keyword spotting and the fully-connected autoencoder for anomaly detection.

As the Keras reference in github.com/mlcommons/tiny; its other two networks are `resnet8` and `mobilenet_v1_025_96`.  The size that
`build` takes is the number of frames (each of 10 coefficients) of `ds_cnn` and the number of features of `fc_autoencoder`.
"""

from __future__ import annotations

from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

IMAGE = {"ds_cnn": 49, "fc_autoencoder": 640}


def _ds_cnn(net: Net, frames: int) -> str:
    net.epsilon = 1e-3
    x = net.conv_bn(net.input("input", (1, 1, frames, 10)), 64, (10, 4), 2, "same", bias=True)
    for _ in range(4):
        x = net.conv_bn(x, 64, 3, groups=64, bias=True)
        x = net.conv_bn(x, 64, bias=True)
    window = frames // 2, 5
    return net.softmax(net.linear(net.flatten(net.avg_pool(x, window, window)), 12))


def _fc_autoencoder(net: Net, features: int) -> str:
    net.epsilon = 1e-3
    x = net.input("input", (1, features))
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = net.relu(net.batch_norm(net.linear(x, width)))
    return net.linear(x, features)


NETWORKS = {"ds_cnn": _ds_cnn, "fc_autoencoder": _fc_autoencoder}
