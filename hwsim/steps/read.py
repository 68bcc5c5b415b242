"""From a file's operators to a Graph: unknown operators named, shapes bound, constants folded, quantization attached to tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Constant, Graph, Node, SourceGraph, SourceTensor, Tensor, run_order
from hwsim.ops import readers
from hwsim.ops._reading import Reader
from hwsim.quant import Array
from hwsim.steps.absorb import absorb

__all__ = ["QDQ_READINGS", "read", "with_batch"]

QDQ_READINGS = ("integer", "literal")
MAX_ELEMENTS = 1 << 40


def read(source: SourceGraph, shapes: Mapping[str, tuple[int, ...]] | None = None, constants: Mapping[str, Array] | None = None,
         qdq: str = "integer") -> Graph:
    """The Graph of a file.

    `shapes` gives inputs their shapes where the file leaves symbols (a symbolic first dimension is a batch of 1 otherwise);
    `constants` gives values to inputs that hwsim needs to know (a scale, a shape).  `qdq` is `integer` (DequantizeLinear,
    operator, QuantizeLinear become one integer operator) or `literal` (each is computed as written).
    Raises HwsimError naming everything that cannot be read.
    """
    if qdq not in QDQ_READINGS:
        raise HwsimError("qdq", f"must be {' or '.join(QDQ_READINGS)}", repr(qdq), suggest(qdq, QDQ_READINGS))
    _check_operators(source)
    constants = dict(constants or {})
    inputs = tuple(t for t in source.inputs if t not in constants)
    reader = Reader()
    for t in source.tensors.values():
        if t.constant is not None or t.name in constants:
            reader.tensors[t.name] = _constant(t, constants.get(t.name))
    for name, shape in _bind(source, inputs, shapes or {}).items():
        reader.tensors[name] = Tensor(name, shape, source.tensors[name].format)
    for node in run_order(source.nodes, reader.tensors):
        readers()[node.kind](node, reader)
        _check_sizes(node.where, node.outputs, reader)
    missing = [t for t in source.outputs if t not in reader.tensors]
    if missing:
        raise HwsimError("graph", "must make all its outputs, and nothing makes", f"'{missing[0]}'")
    graph = Graph(source.name, tuple(reader.nodes), reader.tensors, inputs, source.outputs, source, qdq)
    graph = graph.with_nodes(_needed(graph), reader.tensors)
    return absorb(graph) if qdq == "integer" else graph


def with_batch(graph: Graph, batch: int) -> Graph:
    """The same network for another batch size.  A file with a fixed batch keeps it."""
    source = graph.source
    symbolic = [t for t in graph.inputs if (declared := source.tensors[t].shape) and isinstance(declared[0], str)]
    if not symbolic or batch == graph.tensors[graph.inputs[0]].shape[0]:
        return graph
    shapes = {t: (batch, *graph.tensors[t].shape[1:]) if t in symbolic else graph.tensors[t].shape for t in graph.inputs}
    return read(source, shapes, qdq=graph.qdq)


def _check_operators(source: SourceGraph) -> None:
    known = readers()
    faults = [HwsimError(n.where, "must be an operator that hwsim reads", n.kind, suggest(n.kind, known)) for n in source.nodes if n.kind not in known]
    if faults:
        raise HwsimError.joined(faults)


def _constant(t: SourceTensor, given: Array | None) -> Tensor:
    if given is None:
        assert t.constant is not None and t.shape is not None
        return Tensor(t.name, tuple(int(d) for d in t.shape), t.format, constant=t.constant)
    array = np.asarray(given).astype(formats.get(t.format).dtype)
    return Tensor(t.name, array.shape, t.format, constant=Constant.of(array, t.name))


def _bind(source: SourceGraph, inputs: tuple[str, ...], given: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """A fixed shape for every input.  Symbols mean the same size wherever they stand."""
    unknown = set(given) - set(inputs)
    if unknown:
        name = sorted(unknown)[0]
        raise HwsimError("shapes", f"must name an input ({', '.join(inputs)})", repr(name), suggest(name, inputs))
    symbols: dict[str, int] = {}
    for name in inputs:
        declared = source.tensors[name].shape
        if name in given and declared is not None:
            _match(name, declared, given[name], symbols)
    bound = {}
    for name in inputs:
        declared = given.get(name) if source.tensors[name].shape is None else source.tensors[name].shape
        if declared is None:
            raise HwsimError(f"input '{name}'", "must have a shape", hint=f"give it: --shape {name}=1x3x224x224")
        shape = tuple(d if isinstance(d, int) else symbols.get(d, 1 if i == 0 else -1) for i, d in enumerate(declared))
        if min(shape, default=1) < (0 if name in given else 1):
            raise HwsimError(f"input '{name}'", "must have a fixed shape", f"{declared}", f"give it: --shape {name}=" + "x".join(map(str, declared)))
        bound[name] = shape
    return bound


def _match(name: str, declared: tuple[int | str, ...], shape: tuple[int, ...], symbols: dict[str, int]) -> None:
    agrees = len(declared) == len(shape) and all(isinstance(d, str) or d == n for d, n in zip(declared, shape, strict=True))
    if not agrees or any(symbols.setdefault(d, n) != n for d, n in zip(declared, shape, strict=True) if isinstance(d, str)):
        raise HwsimError(f"input '{name}'", f"must have shape {'x'.join(map(str, declared))}", "x".join(map(str, shape)))


def _check_sizes(where: str, outputs: tuple[str, ...], reader: Reader) -> None:
    for t in outputs:
        if t and t in reader.tensors and reader.tensors[t].elements > MAX_ELEMENTS:
            raise HwsimError(where, f"'{t}' must have at most {MAX_ELEMENTS} elements", reader.tensors[t].shape)


def _needed(graph: Graph) -> list[Node]:
    """The nodes on which an output depends."""
    wanted, keep = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            keep.append(node)
            wanted |= set(node.inputs)
    return keep[::-1]

