"""Values made to have the mean and standard deviation that their channels are known to have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.quant import Array

__all__ = ["Statistics", "aligned"]

Statistics = Mapping[str, tuple[Array, Array]]  # tensor -> mean and standard deviation of its channels (axis 1)


def aligned(real: Array, quantized: Array, statistics: tuple[Array, Array]) -> tuple[Array, Array]:
    """Values made to have a mean and standard deviation in each channel (axis 1), and the quantized ones moved in the same way.

    What a network makes of noise then has the statistics that its batch normalization remembers, layer after layer (the condition
    that ZeroQ, Cai et al., CVPR 2020, eq. 3, distils images for).
    """
    axes, shape = (0, *range(2, real.ndim)), (-1, *[1] * (real.ndim - 2))
    mean, deviation = real.mean(axes, dtype=np.float64), real.std(axes, dtype=np.float64)
    gain = np.where(deviation > 0, statistics[1] / np.where(deviation > 0, deviation, 1), 1.0)
    shift = statistics[0] - gain * mean
    first, second = ((a * gain.reshape(shape) + shift.reshape(shape)).astype(np.float32) for a in (real, quantized))
    return first, second
