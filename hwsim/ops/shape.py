"""Shape arithmetic: Shape, Size, ConstantOfShape, Range and Constant; all fold away once the input shapes are known."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Constant, Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, format_of
from hwsim.quant import Array


def _put(s: SourceNode, r: Reader, array: Array, fmt: str = "") -> None:
    r.tensors[s.outputs[0]] = Tensor(s.outputs[0], array.shape, fmt or format_of(array), constant=Constant.of(array, s.outputs[0]))


def _read_shape(s: SourceNode, r: Reader) -> None:
    shape = r.shape(s.inputs[0])
    _put(s, r, np.array(shape[slice(s.attrs.get("start", 0), s.attrs.get("end"))], np.int64))


def _read_size(s: SourceNode, r: Reader) -> None:
    _put(s, r, np.array(r.tensors[s.inputs[0]].elements, np.int64))


def _read_constant(s: SourceNode, r: Reader) -> None:
    constant, fmt = s.attrs["constant"]
    _put(s, r, constant, fmt)


def _read_filled(s: SourceNode, r: Reader) -> None:
    value = s.attrs.get("value", np.zeros(1, np.float32))
    _put(s, r, np.full(tuple(r.need(s, 0, "the shape").ravel()), np.ravel(value)[0], np.asarray(value).dtype))


def _read_range(s: SourceNode, r: Reader) -> None:
    start, limit, delta = (r.need(s, i, "the range").ravel()[0] for i in range(3))
    _put(s, r, np.arange(start, limit, delta))


READS = {"Shape": _read_shape, "Size": _read_size, "Constant": _read_constant, "ConstantOfShape": _read_filled, "Range": _read_range}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    raise AssertionError("shape arithmetic never becomes a node")


def compute(node: Node, *inputs: Array) -> Array:
    raise AssertionError("shape arithmetic never becomes a node")
