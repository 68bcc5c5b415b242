"""The door to TFLite: a flatbuffer file as a SourceGraph of ONNX operators on stored tensors."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from hwsim import formats
from hwsim.errors import HwsimError, counted
from hwsim.graph import Constant, SourceGraph
from hwsim.io.files import read_whole
from hwsim.io.tflite_operators import translate
from hwsim.io.tflite_parts import TfliteNetwork, TfliteOperator, TfliteTensor
from hwsim.quant import Array, QuantParams

__all__ = ["network_of", "read_tflite"]

LARGEST_FILE = (1 << 31) - 1
FORMATS = {getattr(tflite.TensorType, k): f for k, f in {
    "FLOAT32": "float32", "FLOAT64": "float64", "FLOAT16": "float16", "INT4": "int4", "INT8": "int8", "UINT8": "uint8", "INT16": "int16",
    "UINT16": "uint16", "INT32": "int32", "UINT32": "uint32", "INT64": "int64", "BOOL": "bool",
}.items()}  # fmt: skip
TYPES = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
OPTIONS = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int) and v}


def read_tflite(path: str | os.PathLike[str]) -> SourceGraph:
    """The network of a TFLite file.  Raises HwsimError when it cannot be read."""
    file = Path(path)
    data = read_whole(file, LARGEST_FILE)
    return translate(network_of(data, file.stem))


def network_of(data: bytes, name: str) -> TfliteNetwork:
    """The one subgraph of a TFLite flatbuffer (schema version 3), its operators and tensors in plain values."""
    if len(data) < 8 or not tflite.Model.ModelBufferHasIdentifier(data, 0):
        raise HwsimError(name, "must be a TFLite file", "a file of another kind, or a truncated one")
    try:
        return _network(tflite.Model.GetRootAs(data, 0), data, name)
    except (struct.error, AttributeError, IndexError, ValueError, TypeError, OverflowError, MemoryError):
        raise HwsimError(name, "must be a whole TFLite file", "one with broken references") from None


def _network(model: Any, data: bytes, name: str) -> TfliteNetwork:
    if model.SubgraphsLength() != 1:
        raise HwsimError(name, "must hold one network", counted(model.SubgraphsLength(), "subgraph"), "control flow must be unrolled first")
    graph = model.Subgraphs(0)
    if not graph.OperatorsLength():
        raise HwsimError(name, "must hold a network", "a graph without operators")
    names = _names(graph)
    made = {graph.Operators(i).Outputs(j) for i in range(graph.OperatorsLength()) for j in range(graph.Operators(i).OutputsLength())}
    given = {*_indices(graph.InputsAsNumpy()), *made}
    tensors = {names[i]: _tensor(model, graph.Tensors(i), names[i], i in given) for i in range(len(names))}
    operators = tuple(_operator(model, graph.Operators(i), i, names) for i in range(graph.OperatorsLength()))
    ends = [_indices(v) for v in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())]
    if not all(0 <= i < len(names) for i in (*ends[0], *ends[1])) or not ends[1]:
        raise HwsimError(name, "must have inputs and outputs among its tensors", f"{ends[0]} and {ends[1]}")
    inputs, outputs = (tuple(names[i] for i in v) for v in ends)
    return TfliteNetwork(name, operators, tensors, inputs, outputs, hashlib.sha256(data).hexdigest())


def _indices(found: Any) -> list[int]:
    """A vector of tensor numbers; flatbuffers gives 0 for an absent one."""
    return [int(v) for v in found] if isinstance(found, np.ndarray) else []


def _names(graph: Any) -> list[str]:
    """A name of its own for every tensor."""
    names: list[str] = []
    taken: set[str] = set()
    for i in range(graph.TensorsLength()):
        given = (graph.Tensors(i).Name() or b"").decode() or f"tensor_{i}"
        names.append(given if given not in taken else f"{given}#{i}")
        taken.add(names[-1])
    return names


def _operator(model: Any, operator: Any, index: int, names: list[str]) -> TfliteOperator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = tflite.utils.BUILTIN_OPCODE2NAME.get(number, f"operator {number}")
    kind = f"CUSTOM '{(code.CustomCode() or b'').decode()}'" if kind == "CUSTOM" else kind
    inputs, outputs, middle = (
        tuple(names[i] if i >= 0 else "" for i in _indices(v))
        for v in (operator.InputsAsNumpy(), operator.OutputsAsNumpy(), operator.IntermediatesAsNumpy())
    )
    return TfliteOperator(kind, f"{kind}_{index}", inputs, outputs, middle, _options(operator))


def _options(operator: Any) -> Any:
    """The operator's table of options, None when it has none."""
    table, kind = operator.BuiltinOptions(), OPTIONS.get(operator.BuiltinOptionsType())
    if table is None or kind is None:
        return None
    options = getattr(tflite, kind)()
    options.Init(table.Bytes, table.Pos)
    return options


def _tensor(model: Any, tensor: Any, name: str, computed: bool) -> TfliteTensor:
    where = f"tensor '{name}'"
    shape = tuple(_indices(tensor.ShapeAsNumpy()))
    fmt = FORMATS.get(tensor.Type())
    if fmt is None:
        raise HwsimError(where, f"must be of a type among {', '.join(FORMATS.values())}", TYPES.get(tensor.Type(), tensor.Type()))
    if tensor.Sparsity() is not None:
        raise HwsimError(where, "must be dense", "sparse")
    quant = _quant(tensor.Quantization(), fmt, shape, where)
    constant = None if computed else _constant(model.Buffers(tensor.Buffer()), tensor.IsVariable(), fmt, shape, quant, where)
    return TfliteTensor(name, fmt, shape, quant, constant)


def _quant(found: Any, fmt: str, shape: tuple[int, ...], where: str) -> QuantParams | None:
    """real = scale (q - zero_point), with one scale or one per entry of the quantized dimension."""
    chosen = formats.get(fmt)
    if found is None or not found.ScaleLength() or not chosen.is_integer:
        return None
    scale = np.array(found.ScaleAsNumpy(), np.float32)
    zero = np.array(found.ZeroPointAsNumpy(), np.int64) if found.ZeroPointLength() else np.zeros(1, np.int64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise HwsimError(where, "must have scales that are finite and positive", f"{scale[~(scale > 0) | ~np.isfinite(scale)][0]}")
    if len(scale) == 1:
        return QuantParams(chosen, scale[0].reshape(()), zero[0].reshape(()))
    axis = int(found.QuantizedDimension())
    if not 0 <= axis < len(shape) or shape[axis] != len(scale) or len(zero) not in (1, len(scale)):
        raise HwsimError(where, f"must have a scale and zero point for each entry of axis {axis} of {shape}", f"{len(scale)}, {len(zero)}")
    return QuantParams(chosen, scale, np.broadcast_to(zero, scale.shape).copy(), axis)


def _constant(buffer: Any, variable: bool, fmt: str, shape: tuple[int, ...], quant: QuantParams | None, where: str) -> Constant | None:
    """The numbers of a tensor that nothing computes, None without any.  A variable starts at zero: an 8-bit one at its zero point."""
    count, kind = int(np.prod(shape, dtype=np.int64)), formats.get(fmt)
    if variable:
        start = int(quant.zero_point) if quant is not None and kind.bits == 8 else 0
        return Constant(lambda: np.full(shape, start, kind.dtype), where)
    raw = buffer.DataAsNumpy()
    raw = raw if isinstance(raw, np.ndarray) else np.zeros(0, np.uint8)
    if not len(raw) and count:
        return None
    wanted = -(-count * max(kind.bits, 8 if fmt == "bool" else 1) // 8)
    if len(raw) != wanted:
        raise HwsimError(where, f"must hold {wanted} bytes for shape {shape} of {fmt}", len(raw))
    return Constant(lambda: _numbers(raw, fmt, count).reshape(shape), where)


def _numbers(raw: Array, fmt: str, count: int) -> Array:
    """Stored numbers of a little-endian buffer; int4 are two's complement nibbles, low one first."""
    kind = formats.get(fmt)
    if fmt == "int4":
        nibbles = np.stack([raw & 15, raw >> 4], 1).ravel()[:count].astype(np.int8)
        return np.where(nibbles > 7, nibbles - 16, nibbles).astype(kind.dtype)
    return np.frombuffer(raw.tobytes(), {"float16": "<f2"}.get(fmt, np.dtype(kind.dtype))).astype(kind.dtype)
