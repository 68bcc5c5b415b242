"""From a file's operators to a Graph: unknown operators named, shapes bound, constants folded, quantization attached to tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Constant, Graph, Node, SourceGraph, SourceNode, SourceTensor, Tensor, run_order
from hwsim.ops import readers
from hwsim.ops._reading import MAX_ELEMENTS, Attributes, Reader
from hwsim.quant import Array
from hwsim.steps.absorb import absorb, fold_dequantized
from hwsim.steps.containers import narrow
from hwsim.units import format_bytes

__all__ = ["QDQ_READINGS", "live_bytes", "machine_bytes", "read", "with_batch"]

QDQ_READINGS = ("integer", "literal")
CONTROL = ("If", "Loop", "Scan")
# attributes that change no number that hwsim computes, and the values at which others change none
WITHOUT_EFFECT = ("accuracy_level", "cubic_coeff_a", "extrapolation_value", "momentum", "ratio", "seed", "storage_order")
NEUTRAL = {"channels_last": (0,), "exclude_outside": (0,), "precision": (0, 1), "saturate": (1,), "spatial": (1,), "stash_type": (1,)}


def read(
    source: SourceGraph,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
    qdq: str = "integer",
) -> Graph:
    """The Graph of a file.

    `shapes` gives inputs their shapes where the file leaves symbols (a symbolic first dimension is a batch of 1 otherwise);
    `constants` gives values to inputs that hwsim needs to know (a scale, a shape).  `qdq` is `integer` (DequantizeLinear,
    operator, QuantizeLinear become one integer operator) or `literal` (each is computed as written).
    Raises HwsimError naming everything that cannot be read.
    """
    if qdq not in QDQ_READINGS:
        raise HwsimError("qdq", f"must be {' or '.join(QDQ_READINGS)}", repr(qdq), suggest(qdq, QDQ_READINGS))
    _check_operators(source)
    source = narrow(source) if source.absorbs else source
    held = _held(source, constants or {})
    inputs = tuple(t for t in source.inputs if t not in held)
    reader = Reader({t.name: t.quant for t in source.tensors.values() if t.quant is not None}, source.arithmetic)
    for t in source.tensors.values():
        if t.constant is not None or t.name in held:
            reader.tensors[t.name] = held.get(t.name) or _constant(t)
    for name, shape in _bind(source, inputs, shapes or {}).items():
        declared = source.tensors[name]
        reader.tensors[name] = Tensor(name, shape, declared.format, declared.quant)
    for node in run_order(source.nodes, reader.tensors):
        _read_node(node, reader)
    missing = [t for t in source.outputs if t not in reader.tensors]
    if missing:
        raise HwsimError(source.name, f"must make its output '{missing[0]}', and no node does")
    graph = Graph(source.name, tuple(reader.nodes), reader.tensors, inputs, source.outputs, source, qdq)
    graph = graph.with_nodes(_needed(graph), reader.tensors)
    return absorb(graph) if qdq == "integer" and source.absorbs else fold_dequantized(graph)


def _read_node(node: SourceNode, reader: Reader) -> None:
    """One source operator; what the reading does not look at must have no effect."""
    absent = [t for t in node.inputs if t and t not in reader.tensors]
    if absent:
        raise HwsimError(node.where, f"must read what hwsim computes, not the side output '{absent[0]}'")
    attrs = Attributes(node.attrs)
    readers()[node.kind](replace(node, attrs=attrs), reader)
    for name in [a for a in node.attrs if a not in attrs.seen and a not in WITHOUT_EFFECT]:
        if name not in NEUTRAL or node.attrs[name] not in NEUTRAL[name]:
            wanted = f"must be {' or '.join(map(str, NEUTRAL[name]))}" if name in NEUTRAL else "must be left out"
            raise HwsimError(node.where, f"attribute '{name}' {wanted}", node.attrs[name])


def with_batch(graph: Graph, batch: int) -> Graph:
    """The same network for another batch size, ready to be executed.  A file with a fixed batch keeps it.

    Raises HwsimError when the tensors cannot fit into the machine's memory.
    """
    source = graph.source
    symbolic = [t for t in graph.inputs if (declared := source.tensors[t].shape) and isinstance(declared[0], str)]
    if symbolic and batch != graph.tensors[graph.inputs[0]].shape[0]:
        shapes = {t: (batch, *graph.tensors[t].shape[1:]) if t in symbolic else graph.tensors[t].shape for t in graph.inputs}
        graph = read(source, shapes, qdq=graph.qdq)
    memory = machine_bytes()
    if memory is not None and live_bytes(graph) > memory:
        wanted = f"must fit into this machine's {format_bytes(memory)} of memory to be executed"
        raise HwsimError(graph.name, wanted, format_bytes(live_bytes(graph)), "run a smaller batch or input")
    return graph


def live_bytes(graph: Graph) -> int:
    """The most that constants, and the tensors that are needed at one time, take together."""
    size = {k: t.elements * np.dtype(formats.get(t.format).dtype).itemsize for k, t in graph.tensors.items()}
    last = {t: i for i, n in enumerate(graph.nodes) for t in n.inputs}
    constant = sum(size[k] for k, t in graph.tensors.items() if t.constant is not None)
    live = sum(size[t] for t in graph.inputs)
    most = live
    for i, n in enumerate(graph.nodes):
        live += sum(size[t] for t in n.outputs)
        most = max(most, live)
        gone = {*n.inputs, *n.outputs} - set(graph.outputs)
        live -= sum(size[t] for t in gone if t and graph.tensors[t].constant is None and last.get(t, i) == i)
    return constant + most


def machine_bytes() -> int | None:
    """The machine's memory, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _check_operators(source: SourceGraph) -> None:
    """All unknown operators at once, each with the nodes that are one."""
    unknown: dict[str, list[str]] = {}
    for n in source.nodes:
        if n.kind not in readers():
            unknown.setdefault(n.kind, []).append(n.name)
    if unknown:
        found = [f"{kind} (node '{nodes[0]}'{f' and {len(nodes) - 1} more' if len(nodes) > 1 else ''})" for kind, nodes in unknown.items()]
        close = [f"'{kind}': {hint}" for kind in unknown if (hint := suggest(kind, readers()))]
        hint = "branches and loops must be unrolled first" if unknown.keys() & set(CONTROL) else ", ".join(close) or None
        raise HwsimError(source.name, "operators must be ones that hwsim reads", ", ".join(found), hint)


def _held(source: SourceGraph, given: Mapping[str, Array]) -> dict[str, Tensor]:
    """Inputs whose values are given, as constants."""
    constants = {}
    for name, value in given.items():
        if name not in source.inputs:
            wanted = f"must name an input ({', '.join(source.inputs) or 'none'})"
            raise HwsimError("constants", wanted, repr(name), suggest(name, source.inputs))
        t, array = source.tensors[name], np.asarray(value)
        if t.shape is not None:
            _match(name, t.shape, array.shape, {})
        constants[name] = Tensor(name, array.shape, t.format, constant=Constant.of(array.astype(formats.get(t.format).dtype), name))
    return constants


def _constant(t: SourceTensor) -> Tensor:
    assert t.constant is not None and t.shape is not None
    return Tensor(t.name, tuple(int(d) for d in t.shape), t.format, t.quant, t.constant)


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
            raise _unfixed(name, declared)
        if prod(shape) > MAX_ELEMENTS:
            raise HwsimError(f"input '{name}'", f"must have at most {MAX_ELEMENTS} elements", f"shape {shape}")
        bound[name] = shape
    return bound


def _unfixed(name: str, declared: tuple[int | str, ...]) -> HwsimError:
    """The complaint about an input whose size is open, or no size at all."""
    where, found = f"input '{name}'", "x".join(map(str, declared))
    if any(isinstance(d, int) and d < 1 for d in declared):
        return HwsimError(where, "must have dimensions of 1 or more", found)
    usual = "x".join(str(d) if isinstance(d, int) else "1" if i == 0 else "224" for i, d in enumerate(declared))
    return HwsimError(where, "must have a fixed shape", found, f"give it, such as --shape {name}={usual}")


def _match(name: str, declared: tuple[int | str, ...], shape: tuple[int, ...], symbols: dict[str, int]) -> None:
    wanted = tuple(symbols.get(d, d) if isinstance(d, str) else d for d in declared)
    agrees = len(declared) == len(shape) and all(isinstance(d, str) or d == n for d, n in zip(wanted, shape, strict=True))
    if not agrees or any(symbols.setdefault(d, n) != n for d, n in zip(declared, shape, strict=True) if isinstance(d, str)):
        raise HwsimError(f"input '{name}'", f"must have shape {'x'.join(map(str, wanted))}", "x".join(map(str, shape)))


def _needed(graph: Graph) -> list[Node]:
    """The nodes on which an output depends."""
    wanted, keep = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            keep.append(node)
            wanted |= set(node.inputs)
    return keep[::-1]
