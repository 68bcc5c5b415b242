"""Element types and constants of ONNX files: what an initializer holds, and external data in the model's own folder."""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import Constant, SourceTensor
from hwsim.io.onnx_definitions import FORMATS
from hwsim.io.onnx_weights import OpenFile, Span
from hwsim.quant import Array

__all__ = ["constant_of", "format_name"]

AS_THEY_ARE = ("int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64")  # numbers that lie in a file as in memory


def format_name(data_type: int, where: str) -> str:
    if data_type not in FORMATS:
        kind = TensorProto.DataType.Name(data_type).lower() if data_type in TensorProto.DataType.values() else f"type {data_type}"
        raise HwsimError(where, "must have a numeric element type", kind)
    return FORMATS[data_type]


def constant_of(tensor: Any, where: str, folder: Path | None, span: Span | None = None) -> SourceTensor:
    """A TensorProto as a constant; `span` is where its raw data lies, when it was cut out."""
    shape = tuple(int(d) for d in tensor.dims)
    if min(shape, default=0) < 0:
        raise HwsimError(where, "must have dimensions of 0 or more", shape)
    fmt = format_name(tensor.data_type, where)
    wanted = -(-prod(shape) * formats.get(fmt).bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL:
        file, offset, length = _external_file(tensor, where, folder, wanted)
        span = Span(OpenFile(file), offset, length)
    else:
        _check_size(tensor, where, shape, fmt, wanted, span)
    return SourceTensor(tensor.name, fmt, shape, Constant(lambda: _array(tensor, where, fmt, shape, span), tensor.name, span is None))


def _check_size(tensor: Any, where: str, shape: tuple[int, ...], fmt: str, wanted: int, span: Span | None) -> None:
    """The numbers that the shape says, before memory is taken for them."""
    if span is not None or tensor.HasField("raw_data"):
        held, unit = len(tensor.raw_data) if span is None else span.length, "bytes"
    else:
        held, unit = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))), "numbers"
        wanted = prod(shape) if formats.get(fmt).bits >= 8 or fmt == "bool" else wanted
    if held != wanted:
        raise HwsimError(where, f"must hold {wanted} {unit} for shape {shape} of {fmt}", held)


def _external_file(tensor: Any, where: str, folder: Path | None, wanted: int) -> tuple[Path, int, int]:
    """File, offset and length of external data.  It must lie in the model's folder and be long enough."""
    given = {e.key: e.value for e in tensor.external_data}
    location = given.get("location", "")
    if folder is None:
        raise HwsimError(where, "external data needs the model's folder", repr(location))
    numbers = {k: given.get(k) or "0" for k in ("offset", "length")}
    for key, text in numbers.items():
        if not (text.isdecimal() and len(text) < 20):
            raise HwsimError(where, f"the {key} of external data must be a number of bytes", repr(text))
    root, offset, length = folder.resolve(), int(numbers["offset"]), int(numbers["length"]) or wanted
    try:
        file = (root / location).resolve()
        inside, size = file.is_relative_to(root), file.stat().st_size if file.is_file() else None
    except (OSError, ValueError):
        inside, size = True, None
    if not inside:
        raise HwsimError(where, "external data must lie in the model's folder", repr(location))
    if size is None:
        raise HwsimError(where, "external data must be a file in the model's folder", repr(location))
    if length != wanted:
        raise HwsimError(where, f"external data must have a length of {wanted} bytes", length)
    if size < offset + wanted:
        raise HwsimError(where, f"external data '{location}' must hold {wanted} bytes at offset {offset}", max(size - offset, 0))
    return file, offset, wanted


def _array(tensor: Any, where: str, fmt: str, shape: tuple[int, ...], span: Span | None) -> Array:
    try:
        if span is not None and fmt in AS_THEY_ARE and sys.byteorder == "little":
            return np.frombuffer(span.read(), formats.get(fmt).dtype).reshape(shape)
        if span is not None:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.data_location, copy.raw_data = TensorProto.DEFAULT, bytes(span.read())
            tensor = copy
        return numpy_helper.to_array(tensor).astype(formats.get(fmt).dtype)
    except (ValueError, TypeError) as e:
        raise HwsimError(where, "must hold the numbers that its shape says", str(e).splitlines()[0]) from None
