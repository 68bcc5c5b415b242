"""DynamicQuantizeLinear: uint8 with the scale and zero point of the tensor's own range, found at run time; and TFLite's symmetric one.

The latter is that of hybrid operators (portable_tensor_utils SymmetricQuantizeFloats): each image in 127 steps of its largest magnitude.
"""

from __future__ import annotations

import numpy as np

from hwsim.arithmetics._rounding import round_away
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, Tensor
from hwsim.kernels import ranging
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import reads
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array

ANY_FORMAT = True

READS = {"DynamicQuantizeLinear": reads("dynamic_quantize", symmetric=False)}


def write(node: Node, operands: Operands) -> Written:
    if node.attrs["symmetric"]:
        raise HwsimError(node.where, "must be an operator of ONNX to be written", "TFLite's quantization at run time")
    return Written("DynamicQuantizeLinear", node.inputs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    if node.attrs["symmetric"]:
        return [(x.shape, "int8"), ((x.shape[0], *[1] * (len(x.shape) - 1)), "float32")]
    return [(x.shape, "uint8"), ((), "float32"), ((), "uint8")]


def _symmetric(x: Array) -> tuple[Array, Array]:
    """Half away from zero; an image of zeros has a scale of 1."""
    largest = np.abs(x).max(tuple(range(1, x.ndim)), keepdims=True).astype(np.float32)
    some, steps = np.where(largest == 0, np.float32(1), largest), np.float32(127)
    q = np.clip(round_away(x * (steps / some)), -127, 127).astype(np.int8)
    return q, np.where(largest == 0, np.float32(1), some / steps)


def compute(node: Node, x: Array) -> tuple[Array, ...]:
    """float32 throughout: scale = (max - min) / 255 with 0 in the range, zero point and values half to even."""
    if node.attrs["symmetric"]:
        return _symmetric(x)
    f32 = np.float32
    low, high = np.minimum(f32(x.min()), f32(0)), np.maximum(f32(x.max()), f32(0))
    scale = f32((high - low) / f32(255)) if high != low else f32(1)
    zero = np.rint(np.clip(f32(f32(0) - f32(low / scale)), 0, 255)).astype(np.uint8)
    q = np.clip(np.rint(x / scale) + f32(zero), 0, 255).astype(np.uint8)
    return q, np.asarray(scale), np.asarray(zero)


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers."""
    x, (y, scales, *zeros) = step.inputs[0], step.outputs
    if x is None or x.format != "float32" or not x.shape:
        return False
    target = desk.plain(desk.place(y))
    source = desk.row_major(x, target.order)
    desk.reorder(desk.place(x), source)
    args = {"x": source.offset, "y": target.offset}
    if step.node.attrs["symmetric"]:
        args |= {"scales": desk.place(scales).offset, "images": x.shape[0], "count": x.elements // x.shape[0], "y_bias": target.bias}
        desk.call_named(Kernel(ranging.symmetric, (round_away,)), ranging.RANGE_ARGS, args)
    else:
        args |= {"scale": desk.place(scales).offset, "zero": desk.place(zeros[0]).offset, "count": x.elements}
        desk.call_named(Kernel(ranging.asymmetric), ranging.WHOLE_ARGS, args)
    desk.reorder(target, desk.place(y))
    return True
