"""Swin-T (arXiv 2103.14030), as torchvision builds it: attention within windows of 7 x 7, shifted by 3 in every second block.

Windows come by Reshape and Transpose, the shift by Slice and Concat; merging four patches into one is a Reshape and a Transpose too.
"""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.topologies._attention import feed_forward, joint_attention
from hwsim.topologies._net import Net

__all__ = ["NETWORKS"]

WINDOW, SHIFT = 7, 3
REACH = 2 * WINDOW - 1


def _windows(net: Net, x: str) -> str:
    """N, H, W, C to N, windows, positions, C."""
    n, h, w, c = net.shapes[x]
    x = net.transpose(net.reshape(x, (n, h // WINDOW, WINDOW, w // WINDOW, WINDOW, c)), (0, 1, 3, 2, 4, 5))
    return net.reshape(x, (n, -1, WINDOW * WINDOW, c))


def _joined(net: Net, x: str, h: int, w: int) -> str:
    """The way back from windows."""
    n, *_, c = net.shapes[x]
    x = net.transpose(net.reshape(x, (n, h // WINDOW, w // WINDOW, WINDOW, WINDOW, c)), (0, 1, 3, 2, 4, 5))
    return net.reshape(x, (n, h, w, c))


def _position_index() -> Array:
    """Which of the 13 x 13 relative positions each pair of positions in a window has."""
    y, x = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
    return (y[:, None] - y + WINDOW - 1) * REACH + x[:, None] - x + WINDOW - 1


def _position_bias(net: Net, heads: int) -> str:
    table = net.weight(f"position{net.count}.table", (REACH * REACH, heads), 0.02)
    index = net.constant("position.index", _position_index())
    return net.transpose(net.gather(table, index), (2, 0, 1))


def _mask(size: int) -> Array:
    """After the shift a window may hold parts from opposite borders; -100 keeps them from seeing each other.  (windows, 1, 49, 49)."""
    band = np.digitize(np.arange(size), [size - WINDOW, size - SHIFT])
    n = size // WINDOW
    region = (band[:, None] * 3 + band).reshape(n, WINDOW, n, WINDOW).transpose(0, 2, 1, 3).reshape(n * n, 1, -1)
    return np.where(region[:, :, None] == region[:, :, :, None], 0, -100).astype(np.float32)


def _window_attention(net: Net, x: str, heads: int, shift: int) -> str:
    _, h, w, _ = net.shapes[x]
    for axis in (1, 2) if shift else ():
        x = net.roll(x, -shift, axis)
    biases = [_position_bias(net, heads)]
    if shift:
        biases.append(net.constant(f"shifted{h}.mask", _mask(h)))
    x = _joined(net, joint_attention(net, _windows(net, x), heads, biases), h, w)
    for axis in (1, 2) if shift else ():
        x = net.roll(x, shift, axis)
    return x


def _merge(net: Net, x: str) -> str:
    """Each 2 x 2 patches become one of four times the channels, then of two times."""
    n, h, w, c = net.shapes[x]
    x = net.transpose(net.reshape(x, (n, h // 2, 2, w // 2, 2, c)), (0, 1, 3, 4, 2, 5))
    return net.linear(net.layer_norm(net.reshape(x, (n, h // 2, w // 2, 4 * c))), 2 * c, bias=False)


def _tiny(net: Net, image: int) -> str:
    if image % (32 * WINDOW):
        raise HwsimError("image", f"must be a multiple of {32 * WINDOW} for swin_tiny", image)
    x = net.conv(net.input("input", (1, 3, image, image)), 96, 4, 4, 0, bias=True)
    x = net.layer_norm(net.transpose(x, (0, 2, 3, 1)))
    for stage, depth in enumerate((2, 2, 6, 2)):
        x = _merge(net, x) if stage else x
        for block in range(depth):
            shift = SHIFT if block % 2 and net.shapes[x][1] > WINDOW else 0
            x = net.add(x, _window_attention(net, net.layer_norm(x), 3 << stage, shift))
            x = net.add(x, feed_forward(net, net.layer_norm(x), 4 * net.shapes[x][-1]))
    return net.classify(net.transpose(net.layer_norm(x), (0, 3, 1, 2)))


NETWORKS = {"swin_tiny": _tiny}
