"""Weights laid out as the micro-kernels read them: once per model, kept with it."""

from __future__ import annotations

from mmap import mmap
from typing import Any

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.dots import Dot

__all__ = ["ALIGN", "aligned", "packed", "padded"]

ALIGN = 64
PAGES = 1 << 16  # bytes
Array = np.ndarray[Any, Any]


def aligned(size: int) -> Array:
    """Zeroed bytes on a cache line; many of them on pages of their own, which no leftovers of smaller things break up."""
    if size >= PAGES:
        return np.frombuffer(mmap(-1, size), np.uint8)
    memory = np.zeros(size + ALIGN, np.uint8)
    start = -memory.ctypes.data % ALIGN
    return memory[start : start + size]


def padded(values: Array, dtype: Any, width: int) -> Array:
    """One number per output channel, filled up with zeros to whole panels of `width`."""
    held = np.zeros(-(-len(values) // width) * width, dtype)
    held[: len(values)] = values
    return held


def packed(weights: Array, dot: Dot, vectors: int) -> Array:
    """Weights (outputs, runs, channels of a run) as [panel][run][step][vector and lane][channel of the step], filled up with zeros.

    A channel of a step takes w_bytes / channels bytes: int8, int16 or int32.
    """
    width = vectors * host.lanes()
    outputs, runs, depth = weights.shape
    panels, steps = -(-outputs // width), -(-depth // dot.channels)
    dtype = {1: np.int8, 2: np.int16, 4: np.int32}[dot.w_bytes // dot.channels]
    if (outputs, depth, weights.dtype) == (panels * width, steps * dot.channels, dtype):
        full = np.ascontiguousarray(weights)
    else:
        full = np.zeros((panels * width, runs, steps * dot.channels), dtype)
        full[:outputs, :, :depth] = weights
    unit = np.dtype(f"u{dot.w_bytes}")
    held = aligned(full.nbytes)
    held.view(unit).reshape(panels, runs, steps, width)[...] = full.view(unit).reshape(panels, width, runs, steps).transpose(0, 2, 3, 1)
    return held.view(dtype)
