"""Layer and RMS normalization of float32 rows in the order of ONNX Runtime 1.32 on x86-64 with AVX2 and FMA.

Proven equal by value: MlasLayerNormKernelAvx2 (a mean in float64, then centred squares), and the scalar loops of layer_norm_impl.cc for
rows too short for it.  `kernels.row_norm` computes the same.
"""

from __future__ import annotations

import numpy as np

from hwsim.arithmetics._rounding import fma32
from hwsim.quant import Array

__all__ = ["LEAST", "layer_norm", "rms_norm"]

LEAST = {"layer": 8, "rms": 16}  # columns of the shortest row that the vector kernel takes
f32 = np.float32


def layer_norm(x: Array, scale: Array, shift: Array | None, epsilon: float) -> tuple[Array, Array, Array]:
    """Rows (rows, columns) less their mean, by their deviation: y, the means and the inverse deviations (rows, 1), all float32."""
    n = f32(x.shape[1])
    if x.shape[1] < LEAST["layer"]:
        mean, squares = _welford(x)
        deviation = np.sqrt(squares / n + f32(epsilon))
        y = (x - mean) / deviation * scale
        return (y if shift is None else y + shift), mean, 1 / deviation
    mean = (_folded(x.astype(np.float64), 4) / x.shape[1]).astype(f32)
    centred = x - mean
    inverse = 1 / np.sqrt(_squares(centred) / n + f32(epsilon))
    y = centred * inverse
    return (y * scale if shift is None else fma32(y, scale, shift)), mean, inverse


def rms_norm(x: Array, scale: Array, epsilon: float) -> Array:
    """Rows (rows, columns) by their root mean square."""
    n = f32(x.shape[1])
    if x.shape[1] < LEAST["rms"]:
        return x / np.sqrt(np.add.accumulate(x * x, 1)[:, -1:] / n + f32(epsilon)) * scale
    return x * (1 / np.sqrt(_squares(x) / n + f32(epsilon))) * scale


def _folded(x: Array, lanes: int) -> Array:
    """Sums in so many lanes, which are then added in halves; what is left of the row comes last."""
    whole = x.shape[1] - x.shape[1] % lanes
    total = np.add.accumulate(x[:, :whole].reshape(len(x), -1, lanes), 1)[:, -1]
    return np.add.accumulate(np.concatenate([_halved(total), x[:, whole:]], 1), 1)[:, -1:]


def _halved(x: Array) -> Array:
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        x = x[:, :half] + x[:, half:]
    return x


def _squares(x: Array) -> Array:
    """Sums of squares by fused multiply-adds in eight lanes; of what is left, four are squared before they are added."""
    eights, fours = (x.shape[1] - x.shape[1] % n for n in (8, 4))
    total: Array = np.zeros((len(x), 8), f32)
    for i in range(0, eights, 8):
        total = fma32(x[:, i : i + 8], x[:, i : i + 8], total)
    total = _halved(total)
    for i in range(eights, x.shape[1]):
        v = x[:, i : i + 1]
        total = total + v * v if i < fours else fma32(v, v, total)
    return total


def _welford(x: Array) -> tuple[Array, Array]:
    """Mean and sum of centred squares, number by number."""
    mean: Array = np.zeros((len(x), 1), f32)
    squares: Array = np.zeros((len(x), 1), f32)
    for i in range(x.shape[1]):
        v = x[:, i : i + 1]
        before = v - mean
        mean = mean + before / f32(i + 1)
        squares = squares + before * (v - mean)
    return mean, squares
