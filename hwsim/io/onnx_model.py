"""The door to ONNX: reading a file into a SourceGraph, and writing one."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import ExternalDataInfo

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.io.files import write_whole
from hwsim.quant import Array

__all__ = ["MAX_OPSET", "MIN_OPSET", "held", "model_proto", "outward", "read_onnx", "source_of", "write_onnx"]

MIN_OPSET, MAX_OPSET = 7, 28
_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
FORMATS: dict[int, str] = {v: _NAMES.get(n, n.lower()) for n, v in TensorProto.DataType.items()
                           if n not in ("UNDEFINED", "STRING", "COMPLEX64", "COMPLEX128")}
TYPES: dict[str, int] = {name: value for value, name in FORMATS.items()}
_SMALL = {"bfloat16": ml_dtypes.bfloat16, "float8e4m3fn": ml_dtypes.float8_e4m3fn, "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
          "float8e5m2": ml_dtypes.float8_e5m2, "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "float8e8m0": ml_dtypes.float8_e8m0fnu,
          "float4e2m1": ml_dtypes.float4_e2m1fn, "int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4, "int2": ml_dtypes.int2,
          "uint2": ml_dtypes.uint2, "float16": np.float16}


def read_onnx(path: str | os.PathLike[str]) -> SourceGraph:
    """The network of an ONNX file.  Raises HwsimError when it cannot be read; large data is read when first needed."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as e:
        raise HwsimError(file, "must be a file that can be read", e.strerror or str(e)) from None
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as e:
        raise HwsimError(file, "must be an ONNX file", f"{len(data)} bytes that do not parse ({str(e).splitlines()[0][:80]})") from None
    return source_of(model, file.stem, hashlib.sha256(data).hexdigest(), file.parent)


def source_of(model: Any, name: str, sha256: str, folder: Path | None = None) -> SourceGraph:
    """The network of a loaded ModelProto; `folder` is where its external data may lie."""
    opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    opset = opsets.get("ai.onnx", 0)
    if not model.graph.node:
        raise HwsimError(name, "must hold a network", "a graph without nodes")
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise HwsimError(name, f"must use ONNX opset {MIN_OPSET} to {MAX_OPSET}", f"{opset}", "convert it with onnx.version_converter")
    if model.functions:
        raise HwsimError(name, "must have no local functions", f"'{model.functions[0].name}'", "inline them with onnx.inliner")
    tensors = {t.name: _constant(t, name, folder) for t in model.graph.initializer}
    for t in model.graph.sparse_initializer:
        raise HwsimError(name, "must have dense initializers", f"the sparse '{t.values.name}'")
    for v in [*model.graph.input, *model.graph.output]:
        tensors.setdefault(v.name, _declared(v, name))
    inputs = tuple(v.name for v in model.graph.input if tensors[v.name].constant is None)
    nodes = tuple(_node(n, i, opsets, name) for i, n in enumerate(model.graph.node))
    outputs = tuple(v.name for v in model.graph.output)
    return SourceGraph(name, _unique(nodes), tensors, inputs, outputs, sha256, "onnxruntime", opset)


def _format(data_type: int, where: str) -> str:
    if data_type not in FORMATS:
        kind = TensorProto.DataType.Name(data_type) if data_type in TensorProto.DataType.values() else data_type
        raise HwsimError(where, "must have a numeric element type", kind)
    return FORMATS[data_type]


def _declared(value: Any, name: str) -> SourceTensor:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise HwsimError(f"{name}: '{value.name}'", "must be a tensor", value.type.WhichOneof("value") or "of no type")
    shape: tuple[int | str, ...] | None = None
    if kind.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}_{i}" for i, d in enumerate(kind.shape.dim))
    return SourceTensor(value.name, _format(kind.elem_type, f"{name}: '{value.name}'"), shape)


def _constant(tensor: Any, name: str, folder: Path | None) -> SourceTensor:
    where = f"{name}: initializer '{tensor.name}'"
    shape = tuple(int(d) for d in tensor.dims)
    if min(shape, default=0) < 0:
        raise HwsimError(where, "dimensions must not be negative", shape)
    fmt = _format(tensor.data_type, where)
    external = tensor.data_location == TensorProto.EXTERNAL
    file = _external_file(tensor, where, folder) if external else None
    if not external:
        _check_size(tensor, where, shape, fmt)
    return SourceTensor(tensor.name, fmt, shape, Constant(lambda: _array(tensor, where, fmt, file), tensor.name))


def _check_size(tensor: Any, where: str, shape: tuple[int, ...], fmt: str) -> None:
    elements = int(np.prod(shape, dtype=object)) if shape else 1
    wanted = -(-elements * formats.get(fmt).bits // 8)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != wanted:
        raise HwsimError(where, f"must hold {wanted} bytes for shape {shape} of {fmt}", len(tensor.raw_data))


def _external_file(tensor: Any, where: str, folder: Path | None) -> tuple[Path, int, int]:
    """File, offset and length of external data.  It must lie in the model's folder and be long enough."""
    info = ExternalDataInfo(tensor)
    if folder is None:
        raise HwsimError(where, "external data needs the model's folder", info.location)
    root = folder.resolve()
    file = (root / info.location).resolve()
    if not file.is_relative_to(root):
        raise HwsimError(where, "external data must lie in the model's folder", repr(info.location))
    if not file.is_file():
        raise HwsimError(where, "external data must exist", repr(info.location))
    offset = info.offset or 0
    shape = tuple(tensor.dims)
    wanted = -(-int(np.prod(shape, dtype=object)) * formats.get(FORMATS[tensor.data_type]).bits // 8) if shape else info.length or 0
    length = info.length or wanted
    if length != wanted or file.stat().st_size < offset + length:
        raise HwsimError(where, f"external data must hold {wanted} bytes at offset {offset}", f"{file.stat().st_size} bytes in '{info.location}'")
    return file, offset, length


def _array(tensor: Any, where: str, fmt: str, file: tuple[Path, int, int] | None) -> Array:
    if file is not None:
        path, offset, length = file
        with path.open("rb") as f:
            f.seek(offset)
            raw = f.read(length)
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.data_location = TensorProto.DEFAULT
        copy.raw_data = raw
        tensor = copy
    try:
        return numpy_helper.to_array(tensor).astype(formats.get(fmt).dtype)
    except (ValueError, TypeError) as e:
        raise HwsimError(where, "must hold the numbers that its shape says", str(e).splitlines()[0]) from None


def _node(node: Any, index: int, opsets: Mapping[str, int], name: str) -> SourceNode:
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    kind = domain + node.op_type
    label = node.name or f"{node.op_type}_{index}"
    attrs = {a.name: _attribute(a, f"{name}: node '{label}' ({kind})") for a in node.attribute}
    for key in ("to", "output_dtype", "dtype"):
        if isinstance(attrs.get(key), int):
            attrs[key] = _format(attrs[key], f"{name}: node '{label}' ({kind})") if attrs[key] else ""
    if kind == "Constant":
        attrs = {"constant": _constant_value(node, f"{name}: node '{label}' ({kind})")}
    return SourceNode(kind, label, tuple(node.input), tuple(node.output), attrs, opsets.get(node.domain or "ai.onnx", 1))


def _attribute(attribute: Any, where: str) -> Any:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _array(attribute.t, where, _format(attribute.t.data_type, where), None)
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    return [v.decode("utf-8", "replace") for v in value] if attribute.type == onnx.AttributeProto.STRINGS else value


def _constant_value(node: Any, where: str) -> tuple[Array, str]:
    for a in node.attribute:
        if a.name == "value":
            fmt = _format(a.t.data_type, where)
            return _array(a.t, where, fmt, None), fmt
        if a.name in ("value_float", "value_floats"):
            return np.asarray(onnx.helper.get_attribute_value(a), np.float32), "float32"
        if a.name in ("value_int", "value_ints"):
            return np.asarray(onnx.helper.get_attribute_value(a), np.int64), "int64"
    raise HwsimError(where, "must hold a dense numeric value")


def _unique(nodes: tuple[SourceNode, ...]) -> tuple[SourceNode, ...]:
    """Names made unique, since reports and precisions speak of nodes by name."""
    seen: Counter[str] = Counter()
    result = []
    for n in nodes:
        seen[n.name] += 1
        name = n.name if seen[n.name] == 1 else f"{n.name}#{seen[n.name]}"
        result.append(SourceNode(n.kind, name, n.inputs, n.outputs, n.attrs, n.opset))
    return tuple(result)


def held(array: Array, fmt: str) -> Array:
    """An array as a user or ONNX holds it (ml_dtypes for small formats), in the dtype that hwsim holds."""
    return array.astype(formats.get(fmt).dtype)


def outward(array: Array, fmt: str) -> Array:
    """An array as hwsim holds it, in the dtype that ONNX tools expect for the format."""
    return array.astype(_SMALL.get(fmt, array.dtype))


def write_onnx(source: SourceGraph, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX file, completely or not at all.  Raises HwsimError when the folder cannot be written."""
    write_whole(Path(path), model_proto(source).SerializeToString(deterministic=True))


def model_proto(source: SourceGraph, extra_outputs: Sequence[str] = ()) -> Any:
    """The ModelProto of a network; `extra_outputs` are inner tensors to be given out too, their types left to the runtime."""
    constants = [t for t in source.tensors.values() if t.constant is not None]
    initializers = [_tensor_proto(t) for t in constants]
    nodes = [_node_proto(n) for n in source.nodes]
    values = {k: [_value_info(source.tensors[t]) for t in getattr(source, k)] for k in ("inputs", "outputs")}
    values["outputs"] += [onnx.helper.make_empty_tensor_value_info(t) for t in extra_outputs]
    graph = onnx.helper.make_graph(nodes, source.name, values["inputs"], values["outputs"], initializers)
    domains = {n.kind.rpartition(".")[0] for n in source.nodes} - {""}
    imports = [onnx.helper.make_opsetid("", source.opset), *(onnx.helper.make_opsetid(d, 1) for d in sorted(domains))]
    model = onnx.helper.make_model(graph, opset_imports=imports, producer_name="hwsim")
    model.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    return model


def _tensor_proto(t: SourceTensor) -> Any:
    assert t.constant is not None
    array = outward(t.constant.array, t.format)
    return numpy_helper.from_array(np.asarray(array, order="C"), t.name)


def _value_info(t: SourceTensor) -> Any:
    return onnx.helper.make_tensor_value_info(t.name, TYPES[t.format], t.shape)


def _node_proto(n: SourceNode) -> Any:
    domain, _, op_type = n.kind.rpartition(".")
    attrs = {k: TYPES[v] if k in ("to", "output_dtype") else v for k, v in n.attrs.items()}
    return onnx.helper.make_node(op_type, list(n.inputs), list(n.outputs), n.name, domain=domain, **attrs)
