"""How operators of hwsim are written as operators of ONNX: the counterpart of `_reading`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Node, Tensor
from hwsim.quant import Array

__all__ = ["OPSET", "Given", "Operands", "Written", "like", "numbers", "permuted", "writes"]

OPSET = 21
Given = str | Array | tuple[Array, str]
Operands = Sequence[Tensor | None]


@dataclass(frozen=True)
class Written:
    """One ONNX operator: an input is a tensor's name, or the numbers of a constant (with its format where NumPy has no such type).

    `outputs` are the node's own where they are left out; `since` is the opset that it needs.
    """

    kind: str
    inputs: tuple[Given, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    since: int = OPSET


def numbers(values: Sequence[int]) -> Array:
    """A list of whole numbers as ONNX takes it: sizes, axes, pads."""
    return np.asarray(values, np.int64)


def like(value: Any, tensor: Tensor | None) -> tuple[Array, str]:
    """A number in the format of the real (or plain) tensor beside it."""
    fmt = tensor.format if tensor is not None and tensor.quant is None else "float32"
    return np.asarray(value, formats.get(fmt).dtype), fmt


def writes(kind: str, *attrs: str) -> Callable[[Node, Operands], Written]:
    """A writing that passes inputs and the named attributes through unchanged: the counterpart of `reads`."""

    def write(node: Node, operands: Operands) -> Written:
        return Written(kind, node.inputs, {a: node.attrs[a] for a in attrs if a in node.attrs})

    return write


def permuted(name: str, rank: int, target: str) -> Written:
    """The last two axes swapped."""
    return Written("Transpose", (name,), {"perm": [*range(rank - 2), rank - 1, rank - 2]}, (target,))
