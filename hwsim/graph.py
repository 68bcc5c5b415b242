"""The network: first as a file says it (`SourceGraph`), then as hwsim understands it (`Graph`), in run order."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, TypeVar

from hwsim.errors import HwsimError
from hwsim.quant import Array, QuantParams

__all__ = ["Constant", "Graph", "Node", "Shape", "SourceGraph", "SourceNode", "SourceTensor", "Tensor", "run_order"]

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are part of a network.  They are read when first needed, and may be absent (a network priced from shapes)."""

    load: Callable[[], Array] | None = field(repr=False)
    name: str = ""
    kept: bool = True  # False: numbers that nobody uses are let go, and read anew

    @property
    def array(self) -> Array:
        held = self.__dict__.get("held")
        found: Array | None = None if held is None else held()
        if found is None:
            if self.load is None:
                raise HwsimError(self.name, "must have its numbers to be executed", "a shape alone", "build the network with weights")
            loaded = found = self.load()
            self.__dict__["held"] = (lambda: loaded) if self.kept else weakref.ref(loaded)
        return found

    @classmethod
    def of(cls, array: Array, name: str = "") -> Constant:
        return cls(lambda: array, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Constant, (None, self.name)) if self.load is None else (Constant.of, (self.array, self.name))


@dataclass(frozen=True)
class SourceTensor:
    """A tensor as a file declares it; a dimension may be a symbol, and an unknown shape is None.

    `quant` is there when the file itself says how stored integers stand for real numbers (TFLite), not its operators (ONNX).
    """

    name: str
    format: str
    shape: tuple[int | str, ...] | None
    constant: Constant | None = None
    quant: QuantParams | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SourceNode:
    """An operator as a file writes it.  `kind` is the operator's name, with its domain in front when it is not ONNX's own."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    opset: int

    @property
    def where(self) -> str:
        return f"node '{self.name}' ({self.kind})"


@dataclass(frozen=True, eq=False)
class SourceGraph:
    """A whole file, before hwsim gives it a meaning.  `arithmetic` names the runtime whose kernels define its integers.

    Operators are ONNX's.  `absorbs` says whether quantizers around a real operator mean an integer operator (QDQ); in a file whose
    tensors are stored by declaration every quantizer is an operator of its own.
    """

    name: str
    nodes: tuple[SourceNode, ...]
    tensors: Mapping[str, SourceTensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sha256: str
    arithmetic: str = "onnxruntime"
    opset: int = 0
    absorbs: bool = True


@dataclass(frozen=True)
class Tensor:
    """A tensor of fixed shape: float (or an index type), or integers that stand for real numbers through `quant`.

    `zeros` is the share of its numbers that are zero and `entropy_bits` their zero-order entropy, where that is known of numbers
    that are not at hand.
    """

    name: str
    shape: Shape
    format: str
    quant: QuantParams | None = field(default=None, compare=False)
    constant: Constant | None = field(default=None, compare=False)
    zeros: float | None = field(default=None, compare=False)
    entropy_bits: float | None = field(default=None, compare=False)

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Node:
    """One operator of hwsim: `op` is a file in ops/.  An absent optional input is ""."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def where(self) -> str:
        return f"node '{self.name}' ({self.source or self.op})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in run order.  Every tensor has a fixed shape; float and quantized networks are the same type.

    `qdq` is how quantizers were read: `integer` (absorbed into the operators) or `literal` (computed as written).
    """

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: SourceGraph
    qdq: str = "integer"

    @cached_property
    def producer(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {t: n for n in self.nodes for t in n.outputs if t}

    @cached_property
    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each tensor."""
        found: dict[str, list[Node]] = {t: [] for t in self.tensors}
        for n in self.nodes:
            for t in dict.fromkeys(n.inputs):
                if t:
                    found[t].append(n)
        return found

    @cached_property
    def hash(self) -> str:
        """Of the file's bytes and of the shapes that were bound."""
        shapes = ",".join(f"{t}{self.tensors[t].shape}" for t in self.inputs)
        return hashlib.sha256(f"{self.source.sha256}{shapes}".encode()).hexdigest()

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of a name, None for the name "" of an absent input."""
        return self.tensors[name] if name else None

    def with_nodes(self, nodes: Iterable[Node], tensors: Mapping[str, Tensor]) -> Graph:
        """The same network with other nodes and tensors; tensors that nothing uses any more are dropped."""
        nodes = tuple(nodes)
        used = {t for n in nodes for t in (*n.inputs, *n.outputs)} | {*self.inputs, *self.outputs}
        return replace(self, nodes=nodes, tensors={k: v for k, v in tensors.items() if k in used})


N = TypeVar("N", "Node", "SourceNode")


def run_order(nodes: Sequence[N], given: Iterable[str]) -> tuple[N, ...]:
    """The nodes sorted so that each comes after what it reads, otherwise in the order given.

    Raises HwsimError for a cycle, for a tensor that nothing makes, and for one that two nodes make.
    """
    made: dict[str, int] = {}
    for i, n in enumerate(nodes):
        for t in n.outputs:
            if t in made:
                raise HwsimError(n.where, f"must be the only node that makes '{t}'", f"a second one after '{nodes[made[t]].name}'")
            if t:
                made[t] = i
    given, edges = set(given), list[tuple[int, int]]()
    for i, n in enumerate(nodes):
        for t in n.inputs:
            if t in made:
                edges.append((made[t], i))
            elif t and t not in given:
                raise HwsimError(n.where, f"must read tensors that exist, and nothing makes '{t}'")
    return tuple(nodes) if all(a < b for a, b in edges) else _sorted(nodes, edges)


def _sorted(nodes: Sequence[N], edges: list[tuple[int, int]]) -> tuple[N, ...]:
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_nodes_from(range(len(nodes)))
    graph.add_edges_from(edges)
    try:
        return tuple(nodes[i] for i in nx.lexicographical_topological_sort(graph))
    except nx.NetworkXUnfeasible:
        cycle: list[str] = [nodes[a].name for a, _ in nx.find_cycle(graph)]
        raise HwsimError("graph", "must have no cycle", " -> ".join([*cycle, cycle[0]])) from None
