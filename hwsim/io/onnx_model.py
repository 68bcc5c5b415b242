"""The door to ONNX: reading a file into a SourceGraph, and writing one."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx.version_converter
from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, numpy_helper

from hwsim import formats
from hwsim.errors import HwsimError, suggest
from hwsim.graph import SourceGraph, SourceNode, SourceTensor
from hwsim.io.files import map_whole, write_whole
from hwsim.io.onnx_constants import constant_of, format_name
from hwsim.io.onnx_definitions import NOTES, QONNX_DOMAINS, STANDARD, TYPES, check_node, check_types
from hwsim.io.onnx_weights import OpenFile, Span, cut_out
from hwsim.quant import Array
from hwsim.shelf import names
from hwsim.steps.containers import widen

__all__ = ["MAX_OPSET", "MIN_OPSET", "held", "model_proto", "outward", "read_onnx", "source_of", "upgraded", "write_onnx"]

MIN_OPSET, MAX_OPSET = 7, 28
LARGEST_FILE = (1 << 31) - 1
ARITHMETIC, NOTE = "hwsim.arithmetic", "hwsim."
_SMALL = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8e8m0": ml_dtypes.float8_e8m0fnu,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
    "int4": ml_dtypes.int4,
    "uint4": ml_dtypes.uint4,
    "int2": ml_dtypes.int2,
    "uint2": ml_dtypes.uint2,
    "float16": np.float16,
}
OPSET_OF = {  # QuantizeLinear, Conv, Cast
    **dict.fromkeys(("int16", "uint16", "int4", "uint4"), 21),
    "bfloat16": 22,
    "float4e2m1": 23,
    "float8e8m0": 24,
    "int2": 25,
    "uint2": 25,
}


def read_onnx(path: str | os.PathLike[str]) -> SourceGraph:
    """The network of an ONNX file.  Raises HwsimError when it cannot be read; large data is read when first needed."""
    file = Path(path)
    data = map_whole(file, LARGEST_FILE)
    if not data:
        raise HwsimError(file, "must be an ONNX file", "an empty file")
    sha256, whole = hashlib.sha256(data).hexdigest(), OpenFile(file)
    small, places = cut_out(data)
    try:
        model = onnx.load_model_from_string(small)
    except (DecodeError, ValueError):
        raise HwsimError(file, "must be an ONNX file", "a file of another kind, or a truncated one") from None
    return source_of(model, file.stem, sha256, file.parent, {i: Span(whole, *place) for i, place in places.items()})


def upgraded(source: SourceGraph, opset: int) -> SourceGraph:
    """The network in the words of a newer opset, as ONNX's own converter says it; a newer network stays as it is.

    Raises HwsimError when the converter cannot.
    """
    if source.opset >= opset:
        return source
    try:
        model = onnx.version_converter.convert_version(model_proto(source), opset)
    except (RuntimeError, ValueError) as e:
        raise HwsimError(source.name, f"must be of opset {opset} to be written", source.opset, str(e).strip().splitlines()[-1]) from None
    return replace(source_of(model, source.name, source.sha256), arithmetic=source.arithmetic, absorbs=source.absorbs)


def source_of(model: Any, name: str, sha256: str, folder: Path | None = None, spans: Mapping[int, Span] | None = None) -> SourceGraph:
    """The network of a loaded ModelProto; `folder` is where its external data may lie, `spans` where initializers' data cut out of it."""
    try:
        broken = next((t for t in _texts(model.graph) if not isinstance(t, str)), None)
        if broken is not None:
            raise HwsimError(name, "must have names in UTF-8", repr(broken))
        return _source_of(model, name, sha256, folder, spans or {})
    except UnicodeDecodeError as e:
        raise HwsimError(name, "must have names in UTF-8", repr(e.object)) from None


def _texts(graph: Any) -> Iterator[Any]:
    """Every name in a graph; protobuf gives bytes for one that is not UTF-8."""
    for n in graph.node:
        yield from (n.name, n.op_type, n.domain, *n.input, *n.output, *(a.name for a in n.attribute))
    for v in (*graph.input, *graph.output):
        yield from (v.name, *(d.dim_param for d in v.type.tensor_type.shape.dim))
    for t in graph.initializer:
        yield from (t.name, *(e.value for e in t.external_data))


def _source_of(model: Any, name: str, sha256: str, folder: Path | None, spans: Mapping[int, Span]) -> SourceGraph:
    graph, opsets = model.graph, {o.domain or STANDARD: o.version for o in model.opset_import}
    opset = opsets.get(STANDARD, 0)
    _check_model(model, name, opset)
    for t in graph.sparse_initializer:
        raise HwsimError(name, "must have dense initializers", f"the sparse '{t.values.name}'")
    tensors = {t.name: constant_of(t, f"{name}: initializer '{t.name}'", folder, spans.get(i)) for i, t in enumerate(graph.initializer)}
    for v in [*graph.input, *graph.output]:
        declared = _declared(v, name)
        given = tensors.setdefault(v.name, declared)
        if given.constant is not None and not _same(given, declared):
            raise HwsimError(
                f"{name}: '{v.name}'",
                f"must be declared as its initializer is, {given.format} {_dims(given.shape)}",
                f"{declared.format} {_dims(declared.shape)}",
            )
    inputs = tuple(v.name for v in graph.input if tensors[v.name].constant is None)
    types = {t.name: TYPES[t.format] for t in tensors.values() if t.constant is not None or t.name in inputs}
    nodes = _unique(tuple(_node(n, i, opsets, name, types, folder) for i, n in enumerate(graph.node)))
    arithmetic = _noted_arithmetic(model, name) or _own_arithmetic(nodes)
    return SourceGraph(name, nodes, tensors, inputs, tuple(v.name for v in graph.output), sha256, arithmetic, opset)


def _own_arithmetic(nodes: Iterable[SourceNode]) -> str:
    """The runtime whose kernels define a file's integers, by its operators."""
    return "qonnx" if any(n.kind.startswith(QONNX_DOMAINS) for n in nodes) else "onnxruntime"


def _noted_arithmetic(model: Any, name: str) -> str:
    """The runtime that hwsim wrote into the file's metadata, "" without it."""
    noted = next((p.value for p in model.metadata_props if p.key == ARITHMETIC), "")
    if noted and noted not in names("arithmetics"):
        known = names("arithmetics")
        raise HwsimError(f"{name}: metadata '{ARITHMETIC}'", f"must be one of {', '.join(known)}", repr(noted), suggest(noted, known))
    return str(noted)


def _check_model(model: Any, name: str, opset: int) -> None:
    """A network in a known version of ONNX, whose named things have one name each."""
    graph = model.graph
    if model.ir_version > onnx.IR_VERSION:
        wanted = f"must be of ONNX IR version {onnx.IR_VERSION} or less"
        raise HwsimError(name, wanted, model.ir_version, "a newer onnx package may read it")
    if not graph.node:
        raise HwsimError(name, "must hold a network", "a graph without nodes")
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise HwsimError(name, f"must use ONNX opset {MIN_OPSET} to {MAX_OPSET}", opset or "none", "convert it with onnx.version_converter")
    if model.functions:
        raise HwsimError(name, "must have no local functions", f"'{model.functions[0].name}'", "inline them with onnx.inliner")
    for what, values in (("input", graph.input), ("output", graph.output), ("initializer", graph.initializer)):
        twice = [t for t, n in Counter(v.name for v in values).items() if n > 1 or not t]
        if twice:
            raise HwsimError(name, f"every {what} must have a name of its own", f"'{twice[0]}' twice" if twice[0] else "none")
    if not graph.output:
        raise HwsimError(name, "must have an output", "none")
    fixed = {t.name for t in graph.initializer} | {t.name for t in graph.input}
    clash = next((t for n in graph.node for t in n.output if t and t in fixed), None)
    if clash is not None:
        raise HwsimError(name, f"'{clash}' must be an input or initializer, or made by a node", "both")


def _same(constant: SourceTensor, declared: SourceTensor) -> bool:
    """Whether a declaration allows a constant."""
    a, b = constant.shape or (), declared.shape
    fits = b is None or (len(a) == len(b) and all(isinstance(d, str) or d == n for d, n in zip(b, a, strict=True)))
    return constant.format == declared.format and fits


def _dims(shape: tuple[int | str, ...] | None) -> str:
    return "of no shape" if shape is None else "x".join(map(str, shape)) or "scalar"


def _declared(value: Any, name: str) -> SourceTensor:
    tensor, where = value.type.tensor_type, f"{name}: '{value.name}'"
    if not value.type.HasField("tensor_type"):
        kind = (value.type.WhichOneof("value") or "none").removesuffix("_type").replace("_", " ")
        raise HwsimError(where, "must be a tensor", f"of type {kind}")
    shape: tuple[int | str, ...] | None = None
    if tensor.HasField("shape"):
        dims = enumerate(tensor.shape.dim)
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}_{i}" for i, d in dims)
    return SourceTensor(value.name, format_name(tensor.elem_type, where), shape)


def _node(node: Any, index: int, opsets: Mapping[str, int], name: str, types: dict[str, int], folder: Path | None) -> SourceNode:
    domain = "" if node.domain in ("", STANDARD) else f"{node.domain}."
    kind, opset = domain + node.op_type, opsets.get(node.domain or STANDARD, 1)
    label = node.name or f"{node.op_type}_{index}"
    where = f"{name}: node '{label}' ({kind})"
    check_node(node, kind, opset, where)
    attrs = {a.name: _attribute(a, where, folder) for a in node.attribute}
    check_types(node, opset, where, types, attrs)
    if kind == "Constant":
        attrs = {"constant": _constant_value(node, where, folder)}
    attrs |= {p.key.removeprefix(NOTE): _note(p.value, where) for p in node.metadata_props if p.key in _NOTE_KEYS}
    return SourceNode(kind, label, tuple(node.input), tuple(node.output), attrs, opset)


_NOTE_KEYS = {NOTE + k for k in NOTES}


def _note(text: str, where: str) -> int | float:
    """A number that hwsim wrote beside a node."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, int | float):
        raise HwsimError(where, "must have numbers in the metadata of hwsim", repr(text))
    return value


def _attribute(attribute: Any, where: str, folder: Path | None) -> Any:
    """The value of an attribute: a tensor as its array and format, an element type as a format's name."""
    if attribute.type == AttributeProto.TENSOR:
        tensor = constant_of(attribute.t, where, folder)
        assert tensor.constant is not None
        return tensor.constant.array, tensor.format
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return list(value)
    if attribute.name in ("to", "output_dtype", "dtype") and isinstance(value, int):
        return format_name(value, where) if value else ""
    if attribute.type == AttributeProto.STRINGS:
        return [v.decode() for v in value]
    return value.decode() if isinstance(value, bytes) else value


def _constant_value(node: Any, where: str, folder: Path | None) -> tuple[Array, str]:
    if len(node.attribute) != 1:
        raise HwsimError(where, "must have one value", len(node.attribute))
    a = node.attribute[0]
    if a.name == "value":
        return _attribute(a, where, folder)
    if a.name in ("value_float", "value_floats"):
        return np.asarray(onnx.helper.get_attribute_value(a), np.float32), "float32"
    if a.name in ("value_int", "value_ints"):
        return np.asarray(onnx.helper.get_attribute_value(a), np.int64), "int64"
    raise HwsimError(where, "must hold dense numbers", f"a {a.name}")


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
    try:
        data = model_proto(source).SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        raise HwsimError(path, "must hold a network of less than 2 GiB, which is all that ONNX can write in one file") from None
    write_whole(Path(path), data)


def model_proto(source: SourceGraph, extra_outputs: Sequence[str] = ()) -> Any:
    """The ModelProto of a network; `extra_outputs` are inner tensors to be given out too, their types left to the runtime."""
    source = widen(source)
    constants = [t for t in source.tensors.values() if t.constant is not None]
    initializers = [_tensor_proto(t) for t in constants]
    nodes = [_node_proto(n) for n in source.nodes]
    values = {k: [_value_info(source.tensors[t]) for t in getattr(source, k)] for k in ("inputs", "outputs")}
    values["outputs"] += [onnx.helper.make_empty_tensor_value_info(t) for t in extra_outputs]
    graph = onnx.helper.make_graph(nodes, source.name, values["inputs"], values["outputs"], initializers)
    domains = {n.kind.rpartition(".")[0] for n in source.nodes} - {""}
    imports = [onnx.helper.make_opsetid("", _opset(source)), *(onnx.helper.make_opsetid(d, 1) for d in sorted(domains))]
    model = onnx.helper.make_model(graph, opset_imports=imports, producer_name="hwsim")
    if source.arithmetic != _own_arithmetic(source.nodes):
        onnx.helper.set_model_props(model, {ARITHMETIC: source.arithmetic})
    model.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    return model


def _opset(source: SourceGraph) -> int:
    """The network's opset, or the one that knows all its formats; what hwsim writes means the same in all from 18 on."""
    used = {t.format for t in source.tensors.values()}
    needed = max((v for fmt, v in OPSET_OF.items() if fmt in used), default=0)
    if source.opset < min(needed, 18):
        raise HwsimError(
            source.name,
            f"must be of opset 18 or more to be written with {', '.join(sorted(used & set(OPSET_OF)))}",
            source.opset,
            "convert it with onnx.version_converter",
        )
    return max(source.opset, needed)


def _tensor_proto(t: SourceTensor) -> Any:
    assert t.constant is not None
    array = outward(t.constant.array, t.format)
    return numpy_helper.from_array(np.asarray(array, order="C"), t.name)


def _value_info(t: SourceTensor) -> Any:
    return onnx.helper.make_tensor_value_info(t.name, TYPES[t.format], t.shape)


def _check_beta(n: SourceNode) -> None:
    """What only TFLite's Softmax can say must be what ONNX's means anyway."""
    if n.attrs["beta"] != 1:
        raise HwsimError(n.where, "beta must be 1.0 to be written as ONNX", n.attrs["beta"])


def _node_proto(n: SourceNode) -> Any:
    domain, _, op_type = n.kind.rpartition(".")
    node = onnx.helper.make_node(op_type, list(n.inputs), list(n.outputs), n.name, domain=domain)
    for key, value in n.attrs.items():
        if key == "beta" and op_type == "Softmax":
            _check_beta(n)
            continue
        if key in NOTES:
            node.metadata_props.add(key=NOTE + key, value=json.dumps(value))
            continue
        if key in ("to", "output_dtype"):
            value = TYPES.get(value, 0)
        elif isinstance(value, tuple) and isinstance(value[0], np.ndarray):
            value = numpy_helper.from_array(np.asarray(outward(*value), order="C"))
        name, kind = "value" if n.kind == "Constant" else key, AttributeProto.INTS if value == [] else None
        node.attribute.append(onnx.helper.make_attribute(name, value, attr_type=kind))
    return node
