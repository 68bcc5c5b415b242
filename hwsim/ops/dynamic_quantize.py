"""DynamicQuantizeLinear: uint8 with the scale and zero point of the tensor's own range, found at run time."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node, Shape, Tensor
from hwsim.ops._reading import reads
from hwsim.ops._writing import writes
from hwsim.quant import Array

READS = {"DynamicQuantizeLinear": reads("dynamic_quantize")}


write = writes("DynamicQuantizeLinear")


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, "uint8"), ((), "float32"), ((), "uint8")]


def compute(node: Node, x: Array) -> tuple[Array, Array, Array]:
    """float32 throughout: scale = (max - min) / 255 with 0 in the range, zero point and values half to even."""
    f32 = np.float32
    low, high = np.minimum(f32(x.min()), f32(0)), np.maximum(f32(x.max()), f32(0))
    scale = f32((high - low) / f32(255)) if high != low else f32(1)
    zero = np.rint(np.clip(f32(f32(0) - f32(low / scale)), 0, 255)).astype(np.uint8)
    q = np.clip(np.rint(x / scale) + f32(zero), 0, 255).astype(np.uint8)
    return q, np.asarray(scale), np.asarray(zero)
