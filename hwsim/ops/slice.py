"""A strided box of a tensor."""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axes_of
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.quant import Array

MOVES = True


def _read(s: SourceNode, r: Reader) -> None:
    shape = r.shape(s.inputs[0])
    starts, ends = r.ints(s, "starts", 1), r.ints(s, "ends", 2)
    if starts is None or ends is None:
        raise HwsimError(s.where, "starts and ends must be given")
    axes = axes_of(s, len(shape), r.ints(s, "axes", 3) or range(len(starts)))
    steps = r.ints(s, "steps", 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        counts = f"{len(starts)}, {len(ends)}, {len(axes)} and {len(steps)}"
        raise HwsimError(s.where, "starts, ends, axes and steps must be equally many", counts)
    box = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise HwsimError(s.where, "steps must not be zero")
        first, last, step = slice(start, end if end > -(1 << 31) or step > 0 else None, step).indices(shape[axis])
        box[axis] = slice(first, last if last >= 0 else None, step)
    r.emit(s, "slice", s.inputs[:1], {"box": tuple((b.start, b.stop, b.step) for b in box)})


READS = {"Slice": _read}


def _box(node: Node) -> tuple[slice, ...]:
    return tuple(slice(*b) for b in node.attrs["box"])


def write(node: Node, operands: Operands) -> Written:
    x = operands[0]
    assert x is not None
    boxes = [b.indices(n) for b, n in zip(_box(node), x.shape, strict=True)]
    cut = [(i, *b) for i, (b, n) in enumerate(zip(boxes, x.shape, strict=True)) if b != (0, n, 1)]
    axes, starts, ends, steps = zip(*cut, strict=True) if cut else ((), (), (), ())
    ends = tuple(-(1 << 31) if e < 0 else e for e in ends)
    return Written("Slice", (node.inputs[0], *(numbers(v) for v in (starts, ends, axes, steps))))


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [(tuple(len(range(*b.indices(n))) for b, n in zip(_box(node), x.shape, strict=True)), x.format)]


def compute(node: Node, x: Array) -> Array:
    return x[_box(node)]


def touched(outputs: tuple[Tensor, ...]) -> int:
    """Only the box is read."""
    return outputs[0].elements
