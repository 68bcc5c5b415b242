"""Shape arithmetic: Shape, Size, ConstantOfShape, Range and Constant; all fold away once the input shapes are known."""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Constant, Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import FOLD_LIMIT, Reader, checked_shape, format_of
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
    value, fmt = s.attrs.get("value", (np.zeros(1, np.float32), "float32"))
    if value.size != 1:
        raise HwsimError(s.where, "attribute 'value' must be one number", f"shape {value.shape}")
    shape = checked_shape(s, s.outputs[0], r.need(s, 0, "the shape").ravel(), FOLD_LIMIT)
    _put(s, r, np.full(shape, value.ravel()[0], value.dtype), fmt)


def _read_range(s: SourceNode, r: Reader) -> None:
    start, limit, delta = (r.number(s, i, "each end and the step") for i in range(3))
    if not delta or not np.isfinite([start, limit, delta]).all():
        raise HwsimError(s.where, "must go in finite steps other than 0", f"from {start:g} to {limit:g} by {delta:g}")
    checked_shape(s, s.outputs[0], [max(int(np.ceil((limit - start) / delta)), 0)], FOLD_LIMIT)
    _put(s, r, np.arange(*(r.need(s, i, "the range").ravel()[0] for i in range(3))))


READS = {"Shape": _read_shape, "Size": _read_size, "Constant": _read_constant, "ConstantOfShape": _read_filled, "Range": _read_range}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    raise AssertionError("shape arithmetic never becomes a node")


def compute(node: Node, *inputs: Array) -> Array:
    raise AssertionError("shape arithmetic never becomes a node")
