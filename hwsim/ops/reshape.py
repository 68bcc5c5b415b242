"""The same elements in the same order under another shape: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, axes_of, axis_of
from hwsim.ops._writing import Operands, Written, numbers
from hwsim.quant import Array

MOVES = True


def _emit(s: SourceNode, r: Reader, shape: Sequence[int]) -> None:
    r.emit(s, "reshape", s.inputs[:1], {"shape": tuple(shape)}, s.outputs[:1])


def _read(s: SourceNode, r: Reader) -> None:
    have = r.shape(s.inputs[0])
    wanted = r.ints(s, "shape", 1)
    if wanted is None:
        raise HwsimError(s.where, "the shape must be given")
    if not s.attrs.get("allowzero", 0):
        wanted = [have[i] if d == 0 and i < len(have) else d for i, d in enumerate(wanted)]
    total, known = _product(have), _product(d for d in wanted if d != -1)
    if wanted.count(-1) == 1 and known:
        wanted = [total // known if d == -1 else d for d in wanted]
    if _product(wanted) != total or wanted.count(-1) or min(wanted, default=0) < 0:
        raise HwsimError(s.where, f"the shape must hold the {total} elements of {have}", tuple(wanted))
    _emit(s, r, wanted)


def _product(dims: Any) -> int:
    total = 1
    for d in dims:
        total *= int(d)
    return total


def _read_flatten(s: SourceNode, r: Reader) -> None:
    have = r.shape(s.inputs[0])
    axis = int(s.attrs.get("axis", 1))
    axis = axis_of(s, len(have), axis) if axis < 0 else axis_of(s, len(have) + 1, axis)
    _emit(s, r, (_product(have[:axis]), _product(have[axis:])))


def _read_squeeze(s: SourceNode, r: Reader) -> None:
    have = r.shape(s.inputs[0])
    axes = r.ints(s, "axes", 1)
    drop = set(axes_of(s, len(have), axes)) if axes is not None else {i for i, d in enumerate(have) if d == 1}
    if any(have[a] != 1 for a in drop):
        raise HwsimError(s.where, "only dimensions of 1 can be squeezed", have)
    _emit(s, r, [d for i, d in enumerate(have) if i not in drop])


def _read_unsqueeze(s: SourceNode, r: Reader) -> None:
    have = list(r.shape(s.inputs[0]))
    axes = r.ints(s, "axes", 1)
    if axes is None:
        raise HwsimError(s.where, "axes must be given")
    for a in sorted(axes_of(s, len(have) + len(axes), axes)):
        have.insert(a, 1)
    _emit(s, r, have)


def _read_identity(s: SourceNode, r: Reader) -> None:
    if s.kind == "Dropout" and any(s.outputs[1:]):
        raise HwsimError(s.where, "must have one output (the mask is for training)", len(s.outputs))
    _emit(s, r, r.shape(s.inputs[0]))


READS = {
    "Reshape": _read,
    "Flatten": _read_flatten,
    "Squeeze": _read_squeeze,
    "Unsqueeze": _read_unsqueeze,
    "Identity": _read_identity,
    "Dropout": _read_identity,
}


def write(node: Node, operands: Operands) -> Written:
    shape = node.attrs["shape"]
    return Written("Reshape", (node.inputs[0], numbers(shape)), {"allowzero": 1} if 0 in shape else {})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(node.attrs["shape"], inputs[0].format)]


def compute(node: Node, x: Array) -> Array:
    return x.reshape(node.attrs["shape"])


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {}
