"""Weights laid out as the micro-kernels read them: once per model, kept with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.dots import Dot
from hwsim.kernels.lowbits import FIELD
from hwsim.kernels.memory import Memory

__all__ = ["in_fields", "packed", "padded"]

Array = np.ndarray[Any, Any]


def padded(values: Array, dtype: Any, width: int) -> Array:
    """One number per output channel, filled up with zeros to whole panels of `width`."""
    held = np.zeros(-(-len(values) // width) * width, dtype)
    held[: len(values)] = values
    return held


def packed(weights: Array, dot: Dot, vectors: int, memory: Memory) -> Array:
    """Weights (outputs, runs, channels of a run) as [panel][run][step][vector and lane][channel of the step], filled up with zeros.

    A channel of a step takes w_bytes / channels bytes: int8, int16 or int32, float32 or float64 beside real sums.
    """
    width = vectors * dot.lanes
    outputs, runs, depth = weights.shape
    panels, steps = -(-outputs // width), -(-depth // dot.channels)
    dtype = np.dtype(f"{dot.held[0]}{dot.w_bytes // dot.channels}")
    if (outputs, depth, weights.dtype) == (panels * width, steps * dot.channels, dtype):
        full = np.ascontiguousarray(weights)
    else:
        full = np.zeros((panels * width, runs, steps * dot.channels), dtype)
        full[:outputs, :, :depth] = weights
    unit = np.dtype(f"u{dot.w_bytes}")
    held = memory.take(full.nbytes)
    held.view(unit).reshape(panels, runs, steps, width)[...] = full.view(unit).reshape(panels, width, runs, steps).transpose(0, 2, 3, 1)
    return held.view(dtype)


def in_fields(held: Array, bits: int, memory: Memory) -> Array:
    """int8 numbers of so many bits as `lowbits.unpacked` reads them, filled up with zeros to whole vectors."""
    fields = 8 // bits
    numbers = np.zeros(-(-held.size // (fields * FIELD)) * fields * FIELD, np.uint8)
    numbers[: held.size] = held.ravel() > 0 if bits == 1 else held.ravel() + (1 << bits - 1)
    parts = numbers.reshape(-1, fields, FIELD) << (np.arange(fields, dtype=np.uint8) * bits)[:, None]
    found = memory.take(numbers.size // fields)
    found.reshape(-1, FIELD)[...] = np.bitwise_or.reduce(parts, axis=1)
    return found
