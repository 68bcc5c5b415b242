"""A layer as a block engine sees it: feature maps of height, width and depth, and a window that slides over them."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.graph import Tensor
from hwsim.program import Layer, function_name, mac_kind

__all__ = ["BRICK", "Operation", "down", "operation", "up"]

BRICK = 16
RECTIFIERS = ("relu", "clip", "relu6")


def down(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def up(a: int, b: int) -> int:
    """a rounded up to a multiple of b."""
    return down(a, b) * b


@dataclass(frozen=True)
class Operation:
    """One operator, or one group of it (`repeats` of them): `kind` is conv, depthwise, dense, pool or elementwise.

    `ifm` and `ofm` are (height, width, depth) of what it reads and writes.  Inside the network maps are stored in bricks of 16
    channels; its inputs and outputs are not.
    """

    kind: str
    function: str
    ifm: tuple[int, int, int]
    ofm: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    rectified: bool
    bricks_in: bool
    bricks_out: bool
    operands: int = 1
    repeats: int = 1

    @property
    def weighted(self) -> bool:
        return self.kind in ("conv", "depthwise", "dense")

    @property
    def equal_depth(self) -> bool:
        """Whether each output channel needs the same input channel alone."""
        return self.kind in ("depthwise", "pool", "elementwise")

    @property
    def part_kernel(self) -> bool:
        """Whether a convolution takes four taps of 8 channels at a time instead of 32 channels of one tap: where that fills better."""
        depth, taps = self.ifm[2], self.kernel[0] * self.kernel[1]
        if self.kind != "conv":
            return False
        return depth <= 8 or depth / up(depth, 8) * taps / up(taps, 4) >= depth / up(depth, 32)


def operation(layer: Layer) -> Operation:
    """The layer's first step; what is fused behind it goes on on the way out."""
    step = layer.steps[0]
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None, "an operator has an input"
    kind = {"matmul": "dense", "max_pool": "pool", "average_pool": "pool"}.get(mac_kind(step), mac_kind(step))
    kind = kind if kind in ("conv", "depthwise", "dense", "pool") else "elementwise"
    rectified = any(function_name(s) in RECTIFIERS for s in layer.steps[1:])
    bricks = "input" not in layer.ends, "output" not in layer.ends and kind != "dense"
    if kind == "dense":
        return _dense(layer, rectified, bricks)
    ofm = _map(y)
    one = ofm[:2] == (1, 1)
    attrs = step.node.attrs
    kernel = (1, 1) if kind == "elementwise" else (1, *attrs["kernel"])[-2:]
    stride = (1, 1) if one or kind == "elementwise" else (1, *attrs["strides"])[-2:]
    groups = attrs["group"] if kind == "conv" else 1
    ifm, ofm = (*_map(x)[:2], _map(x)[2] // groups), (*ofm[:2], ofm[2] // groups)
    operands = len([t for t in step.inputs if t is not None and t.constant is None]) if kind == "elementwise" else 1
    return Operation(kind, function_name(step), ifm, ofm, kernel, stride, rectified, *bricks, operands, x.shape[0] * groups)


def _dense(layer: Layer, rectified: bool, bricks: tuple[bool, bool]) -> Operation:
    """A matrix product: one row is a vector product, several a pointwise convolution along the width."""
    loops = layer.loops
    assert loops is not None, "a product has loops"
    rows, kind = loops.N * loops.OY * loops.OX, "dense" if loops.N * loops.OY * loops.OX == 1 else "conv"
    return Operation(kind, "matmul", (1, rows, loops.C), (1, rows, loops.K), (1, 1), (1, 1), rectified, *bricks, repeats=loops.G)


def _map(t: Tensor) -> tuple[int, int, int]:
    """Height, width and depth of a tensor (N C, N C W or N C H W)."""
    shape = (*t.shape[2:],) if len(t.shape) > 2 else (1, 1)
    height, width = (1, *shape)[-2:]
    return height, width, t.shape[1] if len(t.shape) > 1 else t.elements
