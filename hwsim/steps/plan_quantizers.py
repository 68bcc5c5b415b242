"""Where a chip's rules put quantizers in a float network, which of them share one, and how wide each is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from hwsim import formats
from hwsim.arch import Grid, Rules
from hwsim.encodings import Encoding, Encodings
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph, Node
from hwsim.precision import Precision
from hwsim.quant import Format
from hwsim.steps.absorb import MAC_OPS

__all__ = [
    "JOINS",
    "OUTPUT",
    "Plan",
    "accumulated_branches",
    "lowest",
    "plan_quantizers",
    "rides_along",
    "weights_constant",
    "weights_name",
]

PASSIVE = ("max_pool", "reshape", "transpose", "slice", "split", "depth_to_space", "expand", "gather")
OUTPUT = ""  # who reads an output of the network
OUTPUT_BITS = 8
JOINS = ("binary", "average_pool", "max_pool", "concat", "resize")


@dataclass(frozen=True)
class Plan:
    """What is needed to quantize one network: its float graph, the rules, the widths, and which layers stand at its ends.

    `given` are scales and offsets that are not to be searched for.
    """

    graph: Graph
    rules: Rules
    precision: Precision
    ends: frozenset[str]
    given: Encodings = field(default=Encodings(), compare=False)

    @cached_property
    def edges(self) -> frozenset[tuple[str, str]]:
        """The (tensor, reading node) pairs that pass through a quantizer."""
        return frozenset(_quantized_edges(self))

    @cached_property
    def sharing(self) -> dict[str, frozenset[str]]:
        """The tensors that share one quantizer, by each of them: data that only moved, and operators of the rule `same_scale`."""
        found: dict[str, frozenset[str]] = {}
        for node in self.graph.nodes:
            data = [t for t in node.inputs if (t, node.name) in self.edges]
            moves = self.rules.graph == 3 and node.op in PASSIVE
            if data and (moves or node.attrs.get("function", node.op) in self.rules.same_scale):
                joined = frozenset().union(*(found.get(t, {t}) for t in (*data, *node.outputs)))
                found.update(dict.fromkeys(joined, joined))
        return found

    def shared(self, name: str) -> frozenset[str]:
        """The tensors that share a tensor's quantizer, itself among them."""
        return self.sharing.get(name, frozenset({name}))

    def given_activation(self, name: str) -> Encoding | None:
        """The encoding given for a tensor.  Raises HwsimError when those of tensors that share a quantizer differ."""
        found = [self.given.activations[t] for t in sorted(self.shared(name)) if t in self.given.activations]
        if any(e.bits != found[0].bits or e.scale[0] != found[0].scale[0] or e.offset[0] != found[0].offset[0] for e in found):
            raise HwsimError(f"encodings of {', '.join(sorted(self.shared(name)))}", "must be equal: they share a quantizer on this chip")
        return found[0] if found else None

    def given_weights(self, layer: str) -> Encoding | None:
        """The encoding given for a layer's weights."""
        return self.given.weights.get(weights_name(self.graph, self.layers[layer]))

    def activation_bits(self, name: str) -> int:
        """Width of a tensor's quantizer: the widest reader's of all that share it."""
        same = self.shared(name)
        return max(self._width(reader, self.precision.of(reader)[1]) for t, reader in self.edges if t in same)

    def activation_format(self, name: str) -> Format:
        """The number format of a tensor's quantizer."""
        return self.format(self.rules.activations, self.activation_bits(name))

    def weight_bits(self, node: str) -> int:
        """Width of a layer's weights."""
        return self._width(node, self.precision.of(node)[0])

    def format(self, grid: Grid, bits: int) -> Format:
        """The grid's number format at a width: its own where it has that width, else the same signedness."""
        own = [f for f in grid.formats if formats.get(f).bits == bits]
        return formats.get(own[0] if own else f"{grid.formats[0].rstrip('0123456789')}{bits}")

    def _width(self, node: str, bits: int) -> int:
        """The first and last layer keep at least the rule's width, and what the network hands out at least 8 bits."""
        if node == OUTPUT:
            return max(bits, OUTPUT_BITS)
        return max(bits, self.rules.first_last_bits) if node in self.ends else bits

    @cached_property
    def layers(self) -> dict[str, Node]:
        """The layers whose weights are quantized, by name: constant weights and a quantized input."""
        macs = (n for n in self.graph.nodes if n.op in MAC_OPS and weights_constant(self.graph, n))
        return {n.name: n for n in macs if (n.inputs[0], n.name) in self.edges}


def plan_quantizers(graph: Graph, rules: Rules, precision: Precision, given: Encodings | None = None) -> Plan:
    """The plan of a float network.  Raises HwsimError when nothing in it multiplies weights, or for a layer that it lacks."""
    macs = [n for n in graph.nodes if n.op in MAC_OPS and weights_constant(graph, n)]
    if not macs:
        raise HwsimError(graph.name, "must have a convolution or linear layer to quantize")
    names = [n.name for n in graph.nodes]
    for layer in precision.layers:
        if layer not in names:
            raise HwsimError("precision", "must name layers of the network", repr(layer), suggest(layer, names))
    return Plan(graph, rules, precision, frozenset({macs[0].name, macs[-1].name}), given or Encodings())


def lowest(grid: Grid, fmt: Format) -> int:
    """The least number of a grid in a format: one more than the format's on narrow grids."""
    return int(fmt.low) + (1 if grid.narrow and fmt.is_signed else 0)


def weights_constant(graph: Graph, node: Node) -> bool:
    return graph.tensors[node.inputs[1]].constant is not None


def weights_name(graph: Graph, node: Node) -> str:
    """The name of a layer's weights in the file, before batch normalization was folded into them."""
    return node.inputs[1].partition(".folded")[0]


def _quantized_edges(plan: Plan) -> Iterator[tuple[str, str]]:
    graph = plan.graph
    for node in graph.nodes:
        data = [t for t in node.inputs if t and graph.tensors[t].constant is None and graph.tensors[t].format == "float32"]
        if node.op in MAC_OPS:
            yield from ((t, node.name) for t in data[:2])
        elif plan.rules.graph == 3 and (_inside(plan, node) or _stays_stored(plan, node)) and not rides_along(graph, node):
            yield from ((t, node.name) for t in data)
        elif plan.rules.graph == 2 and node.op in JOINS:
            yield from ((t, node.name) for t in data if t not in accumulated_branches(graph, node)[:1])
    for t in graph.outputs if plan.rules.graph == 3 else ():
        if t in graph.producer and graph.tensors[t].format == "float32" and _stays_stored(plan, graph.producer[t]):
            yield t, OUTPUT


def _stays_stored(plan: Plan, node: Node) -> bool:
    """Graph rule 3 behind the last multiply-accumulate: sums and pools there, and data moved from them, stay stored numbers.

    By the rule `outputs: stored` all does.
    """
    maker = plan.graph.producer.get(node.inputs[0]) if node.inputs else None
    moved = node.op in PASSIVE and maker is not None and _stays_stored(plan, maker)
    return plan.rules.outputs == "stored" or node.op in JOINS or moved


def _inside(plan: Plan, node: Node) -> bool:
    """Whether the node lies between multiply-accumulates."""
    wanted = {t for n in plan.graph.nodes if n.op in MAC_OPS for t in n.inputs}
    for other in reversed(plan.graph.nodes):
        if wanted & set(other.outputs):
            wanted |= set(other.inputs)
    return bool(wanted & set(node.outputs))


def rides_along(graph: Graph, node: Node) -> bool:
    """Graph rule 3: an activation right behind a convolution, linear layer or sum shares its quantizer (conv -> relu, add -> relu)."""
    maker = graph.producer.get(node.inputs[0])
    if maker is None or not _is_epilogue(node) or len(graph.consumers[node.inputs[0]]) != 1:
        return False
    return maker.op in (*MAC_OPS, "binary") or (maker.op == "batch_norm" and rides_along(graph, maker))


def _is_epilogue(node: Node) -> bool:
    return node.op == "batch_norm" or (node.op == "unary" and node.attrs["function"] in ("relu", "clip"))


def accumulated_branches(graph: Graph, node: Node) -> list[str]:
    """Graph rule 2: the inputs of a sum that can stay unquantized, of which the first does: it is added where a convolution accumulates.

    They come straight from a convolution or linear layer (through batch normalization and activation) and nothing else reads
    them.  Quantizers on the way are looked through.
    """
    found = []
    for t in node.inputs if node.op == "binary" and node.attrs["function"] == "add" else ():
        at, maker = t, graph.producer.get(t)
        while maker is not None and len(graph.consumers[at]) == 1 and (_is_epilogue(maker) or maker.op in ("quantize", "dequantize")):
            at, maker = maker.inputs[0], graph.producer.get(maker.inputs[0])
        if maker is not None and maker.op in MAC_OPS and len(graph.consumers[at]) == 1 and node.inputs.count(t) == 1:
            found.append(t)
    return found
