"""The widths of a quantized network that can be chosen, and the network at other widths: what a cost needs, without new weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hwsim import formats
from hwsim.arch import Rules
from hwsim.graph import Graph, Node, Tensor
from hwsim.steps.absorb import MAC_OPS
from hwsim.steps.plan_quantizers import PASSIVE

__all__ = ["Width", "at_widths", "mac_nodes", "widths_of"]

CASTS = ("quantize", "dequantize")


@dataclass(frozen=True)
class Width:
    """One width to choose: of a layer's weights, or of the activations that share quantizers through the nodes that read them.

    `tensors` have it; `nodes` are the layers of a Precision that name it; `least` is the width below which the chip's rule for the
    first and last layer never goes.
    """

    name: str
    kind: str
    tensors: tuple[str, ...]
    nodes: tuple[str, ...]
    least: int = 1


def mac_nodes(graph: Graph) -> list[Node]:
    """Convolutions and linear layers with stored constant weights and stored inputs."""
    return [n for n in graph.nodes if n.op in MAC_OPS and _stored(graph, n.inputs[0]) and _stored(graph, n.inputs[1]) and _fixed(graph, n)]


def widths_of(graph: Graph, rules: Rules) -> tuple[Width, ...]:
    """Every width of a quantized network that can be chosen by itself, in run order.

    A node reads all its activations at one width, and the nodes that read one stored tensor agree on it; so do the two sides of an
    operator that only moves data, or that the chip runs at one scale.
    """
    macs = mac_nodes(graph)
    ends = {n.name for n in (*macs[:1], *macs[-1:])}
    found = [*_activations(graph, rules, ends), *_weights(macs, rules, ends)]
    position = {n.name: i for i, n in enumerate(graph.nodes)}
    return tuple(sorted(found, key=lambda w: (position[w.nodes[0]], w.kind)))


def at_widths(graph: Graph, bits: Mapping[str, int], made: dict[tuple[str, int], Tensor] | None = None) -> Graph:
    """The network with stored tensors (by name) in other widths of the same kind of format; `made` keeps them for the next call."""
    made = {} if made is None else made
    for name, b in bits.items():
        if (name, b) not in made:
            made[name, b] = _at_width(graph.tensors[name], b)
    return replace(graph, tensors={**graph.tensors, **{name: made[name, b] for name, b in bits.items()}})


def _at_width(t: Tensor, bits: int) -> Tensor:
    assert t.quant is not None, "only stored tensors have a width"
    fmt = formats.get(f"{t.quant.format.name.rstrip('0123456789')}{bits}")
    return replace(t, format=fmt.name, quant=replace(t.quant, format=fmt, qmin=fmt.low, qmax=fmt.high))


def _stored(graph: Graph, name: str) -> bool:
    quant = graph.tensors[name].quant if name else None
    return quant is not None and quant.format.is_integer


def _fixed(graph: Graph, node: Node) -> bool:
    return graph.tensors[node.inputs[1]].constant is not None


def _weights(macs: Iterable[Node], rules: Rules, ends: set[str]) -> Iterator[Width]:
    readers: dict[str, list[str]] = {}
    for n in macs:
        readers.setdefault(n.inputs[1], []).append(n.name)
    for tensor, names in readers.items():
        yield Width(f"{names[0]} weights", "weights", (tensor,), tuple(names), _least(rules, ends, names))


def _activations(graph: Graph, rules: Rules, ends: set[str]) -> Iterator[Width]:
    together: dict[str, set[str]] = {}
    readers: dict[str, list[str]] = {}
    for node in (n for n in graph.nodes if n.op not in CASTS):
        data = [t for t in node.inputs if t and _stored(graph, t) and graph.tensors[t].constant is None]
        for t in data:
            readers.setdefault(t, []).append(node.name)
        if _keeps_scale(node, rules):
            data += [t for t in node.outputs if _stored(graph, t)]
        joined = set().union(*(together.get(t, {t}) for t in data))
        together.update(dict.fromkeys(joined, joined))
    for tensors in {id(s): s for s in together.values()}.values():
        names = [n.name for n in graph.nodes if any(n.name in readers.get(t, ()) for t in tensors)]
        macs = [n for n in names if any(n == m.name for m in graph.nodes if m.op in MAC_OPS)]
        yield Width(f"{(macs or names)[0]} input", "activations", tuple(sorted(tensors)), tuple(names), _least(rules, ends, names))


def _keeps_scale(node: Node, rules: Rules) -> bool:
    return node.op in PASSIVE or node.attrs.get("function", node.op) in rules.same_scale


def _least(rules: Rules, ends: set[str], names: Iterable[str]) -> int:
    return rules.first_last_bits if ends & set(names) else 1
