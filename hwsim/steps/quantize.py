"""A float network quantized by a chip's rules: ranges measured on data, QuantizeLinear and DequantizeLinear put where the rules say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwsim import formats
from hwsim.arch import Grid, Rules, WeightGrid, parse_precision
from hwsim.errors import HwsimError
from hwsim.graph import Constant, Graph, Node, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array, Format
from hwsim.shelf import load
from hwsim.steps.absorb import MAC_OPS, output_axis
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read

__all__ = ["JOINS", "Ranges", "accumulated_branches", "quantize", "ranges_of", "rides_along", "standard_rules"]

Ranges = Mapping[str, tuple[float, float]]
PASSIVE = ("max_pool", "reshape", "transpose", "slice", "split", "depth_to_space", "expand")
OUTPUT = ""  # who reads an output of the network
JOINS = ("binary", "average_pool", "max_pool", "concat", "resize")


def ranges_of(graph: Graph, batches: Iterable[Mapping[str, Array]]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every real tensor over calibration batches (each a full set of inputs)."""
    program = as_written(graph)
    found: dict[str, tuple[float, float]] = {}
    for feeds in batches:
        for name, array in execute(program, feeds, all_tensors=True).tensors.items():
            if array.dtype.kind == "f" and array.size:
                low, high = found.get(name, (np.inf, -np.inf))
                found[name] = (min(low, float(array.min())), max(high, float(array.max())))
    return found


def standard_rules() -> Rules:
    """What most integer runtimes take: int8 symmetric weights per channel, uint8 asymmetric activations, the whole graph, one width."""
    return Rules(
        weights=WeightGrid(formats=["int8"], granularity="per_channel", symmetric=True),
        activations=Grid(formats=["uint8"]),
        graph=3,
        first_last_bits=2,
        source="ONNX Runtime quantize_static defaults for u8s8",
    )


@dataclass(frozen=True)
class _Plan:
    """What is needed to quantize one network: its float graph, the rules, widths, and the ranges."""

    graph: Graph
    rules: Rules
    weight_bits: int
    activation_bits: int
    ranges: Ranges
    ends: frozenset[str]

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

    def activation(self, name: str) -> tuple[int, float, float]:
        """Width and range of a tensor's quantizer: the widest reader's, and the whole range of what shares it."""
        same = self.sharing.get(name, frozenset({name}))
        bits = max(self.width(reader, self.activation_bits) for t, reader in self.edges if t in same)
        ranges = [self.ranges[t] for t in same if t in self.ranges]
        if not ranges:
            raise HwsimError(f"tensor '{name}'", "must have a range from calibration")
        return bits, min(low for low, _ in ranges), max(high for _, high in ranges)

    def format(self, grid: Grid, bits: int) -> Format:
        """The grid's number format at a width: its own where it has that width, else the same signedness."""
        own = [f for f in grid.formats if formats.get(f).bits == bits]
        return formats.get(own[0] if own else f"{grid.formats[0].rstrip('0123456789')}{bits}")

    def width(self, node: str, bits: int) -> int:
        """The first and last layer keep at least the rule's width."""
        return max(bits, self.rules.first_last_bits) if node in self.ends else bits


def quantize(
    source: SourceGraph,
    rules: Rules,
    precision: str,
    ranges: Ranges,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    quantizer: str = "minmax",
) -> SourceGraph:
    """A QDQ network: `source` (float, batch normalization already folded) with quantizers by the rules.

    `ranges` are of the activations, `quantizer` names the way from a range to a grid.  Raises HwsimError when a range is missing.
    """
    weight, activation = parse_precision(precision)
    if not isinstance(weight, int) or not isinstance(activation, int):
        raise HwsimError("bits", "must be integers such as w8a8", repr(precision))
    graph = read(source, shapes)
    macs = [n for n in graph.nodes if n.op in MAC_OPS and _weights_constant(graph, n)]
    if not macs:
        raise HwsimError(source.name, "must have a convolution or linear layer to quantize")
    plan = _Plan(graph, rules, weight, activation, ranges, frozenset({macs[0].name, macs[-1].name}))
    writer = _Writer(plan, source, quantizer)
    for node in source.nodes:
        writer.rewrite(node)
    writer.close()
    return writer.finish()


def _weights_constant(graph: Graph, node: Node) -> bool:
    return graph.tensors[node.inputs[1]].constant is not None


def _quantized_edges(plan: _Plan) -> Iterator[tuple[str, str]]:
    graph = plan.graph
    for node in graph.nodes:
        data = [t for t in node.inputs if t and graph.tensors[t].constant is None and graph.tensors[t].format == "float32"]
        if node.op in MAC_OPS:
            yield from ((t, node.name) for t in data[:2])
        elif plan.rules.graph == 3 and (_inside(plan, node) or _stays_stored(graph, node)) and not rides_along(graph, node):
            yield from ((t, node.name) for t in data)
        elif plan.rules.graph == 2 and node.op in JOINS:
            yield from ((t, node.name) for t in data if t not in accumulated_branches(graph, node)[:1])
    for t in graph.outputs if plan.rules.graph == 3 else ():
        if t in graph.producer and _stays_stored(graph, graph.producer[t]):
            yield t, OUTPUT


def _stays_stored(graph: Graph, node: Node) -> bool:
    """Graph rule 3 behind the last multiply-accumulate: sums and pools there, and data moved from them, stay stored numbers."""
    maker = graph.producer.get(node.inputs[0]) if node.inputs else None
    return node.op in JOINS or (node.op in PASSIVE and maker is not None and _stays_stored(graph, maker))


def _inside(plan: _Plan, node: Node) -> bool:
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


class _Writer:
    """Rewrites a file's nodes one by one with quantizers on the chosen edges."""

    def __init__(self, plan: _Plan, source: SourceGraph, quantizer: str) -> None:
        self.plan, self.source, self.fit = plan, source, load("quantizers", quantizer).fit
        self.nodes: list[SourceNode] = []
        self.tensors = dict(source.tensors)
        self.done: dict[str, str] = {}
        self.scales: dict[str, Array] = {}

    def rewrite(self, node: SourceNode) -> None:
        """The node with quantized inputs, and quantized weights and bias when it multiplies and accumulates."""
        own = next((n for n in self.plan.graph.nodes if n.name == node.name), None)
        quantized = [(t, node.name) in self.plan.edges for t in node.inputs]
        inputs = [self.activation(t) if q else t for t, q in zip(node.inputs, quantized, strict=True)]
        if own is not None and own.op in MAC_OPS and _weights_constant(self.plan.graph, own) and quantized[0]:
            inputs[1] = self.weights(own, node.inputs[1])
            if len(inputs) > 2 and inputs[2] and self.plan.rules.bias == "int32":
                inputs[2] = self.bias(node.inputs[2], self.scales[inputs[0]], self.scales[inputs[1]])
        self.nodes.append(replace(node, inputs=tuple(inputs)))

    def close(self) -> None:
        """Quantizers on the outputs that stay stored numbers up to the end; the outputs keep their names."""
        for t in self.source.outputs:
            if (t, OUTPUT) in self.plan.edges:
                names = {t: f"{t}.computed", self.activation(t): t}
                self.nodes = [_renamed(n, names) for n in self.nodes]

    def activation(self, name: str) -> str:
        """QuantizeLinear and DequantizeLinear behind an activation, made once."""
        if name not in self.done:
            bits, low, high = self.plan.activation(name)
            grid, fmt = self.plan.rules.activations, self.plan.format(self.plan.rules.activations, bits)
            unsigned_zero = grid.symmetric and not fmt.is_signed and low >= 0
            scale, zero = self.fit(low, high, _lowest(grid, fmt), int(fmt.high), grid.symmetric and not unsigned_zero, grid.power_of_two)
            self.done[name] = self._pair(name, scale, zero, fmt, f"{name}.a{bits}")
        return self.done[name]

    def _pair(self, name: str, scale: Array, zero: Array, fmt: Format, base: str) -> str:
        stored, back = f"{base}.quantized", f"{base}.dequantized"
        parameters = self._parameters(base, scale, zero, fmt)
        self.nodes.append(SourceNode("QuantizeLinear", f"{base}.quantize", (name, *parameters), (stored,), {}, self.source.opset))
        self.nodes.append(SourceNode("DequantizeLinear", f"{base}.dequantize", (stored, *parameters), (back,), {}, self.source.opset))
        self.scales[back] = scale
        return back

    def _parameters(self, base: str, scale: Array, zero: Array, fmt: Format) -> tuple[str, str]:
        names = f"{base}.scale", f"{base}.zero_point"
        self.tensors[names[0]] = SourceTensor(names[0], "float32", scale.shape, Constant.of(scale, names[0]))
        self.tensors[names[1]] = SourceTensor(names[1], fmt.name, zero.shape, Constant.of(zero.astype(fmt.dtype), names[1]))
        return names

    def weights(self, node: Node, name: str) -> str:
        """Stored weights behind a DequantizeLinear."""
        bits = self.plan.width(node.name, self.plan.weight_bits)
        back = f"{name}.w{bits}"
        if back in self.scales:
            return back
        grid, constant = self.plan.rules.weights, self.source.tensors[name].constant
        assert constant is not None
        fmt, array = self.plan.format(grid, bits), constant.array
        axis = output_axis(node, self.plan.graph.tensors[name])
        per_channel = grid.granularity == "per_channel" and not (node.op == "conv_transpose" and node.attrs["group"] > 1)
        others = tuple(i for i in range(array.ndim) if i != axis) if per_channel else None
        scale, zero = self.fit(array.min(others), array.max(others), _lowest(grid, fmt), int(fmt.high), grid.symmetric, grid.power_of_two)
        shape = [-1 if i == axis else 1 for i in range(array.ndim)] if per_channel else []
        stored = np.clip(np.rint(array / scale.reshape(shape)) + zero.reshape(shape), _lowest(grid, fmt), fmt.high)
        self._dequantize(back, stored, scale, zero, fmt, axis if per_channel else None)
        return back

    def bias(self, name: str, x_scale: Array, w_scale: Array) -> str:
        """The bias in int32 with scale x_scale w_scale."""
        scale = (x_scale * w_scale).astype(np.float32)
        constant = self.source.tensors[name].constant
        if constant is None or constant.array.ndim != 1:
            return name
        back, fmt = f"{name}.int32", formats.get("int32")
        while back in self.scales:
            back += "_"
        stored = np.clip(np.rint(constant.array.astype(np.float64) / scale), fmt.low, fmt.high)
        self._dequantize(back, stored, scale, np.zeros(scale.shape, np.int64), fmt, 0 if scale.ndim else None)
        return back

    def _dequantize(self, back: str, stored: Array, scale: Array, zero: Array, fmt: Format, axis: int | None) -> None:
        name = f"{back}.stored"
        self.tensors[name] = SourceTensor(name, fmt.name, stored.shape, Constant.of(stored.astype(fmt.dtype), name))
        parameters = self._parameters(back, scale, zero, fmt)
        attrs = {} if axis is None else {"axis": axis}
        self.nodes.append(SourceNode("DequantizeLinear", f"{back}.dequantize", (name, *parameters), (back,), attrs, self.source.opset))
        self.scales[back] = scale

    def finish(self) -> SourceGraph:
        """The rewritten network; constants that nothing reads any more are dropped."""
        used = {t for n in self.nodes for t in (*n.inputs, *n.outputs)} | {*self.source.inputs, *self.source.outputs}
        return replace(self.source, nodes=tuple(self.nodes), tensors={k: t for k, t in self.tensors.items() if k in used})


def _renamed(node: SourceNode, names: Mapping[str, str]) -> SourceNode:
    return replace(node, inputs=tuple(names.get(t, t) for t in node.inputs), outputs=tuple(names.get(t, t) for t in node.outputs))


def _lowest(grid: Grid, fmt: Format) -> int:
    return int(fmt.low) + (1 if grid.narrow and fmt.is_signed else 0)
