"""Quantize and dequantize nodes absorbed into the operators between them, which so become operators on stored numbers.

The same real numbers flow everywhere: DequantizeLinear sinks below operators that only move data, a Relu or Clip between an
operator and its quantizer becomes a bound on the stored output, and `dequantize, operator, quantize` becomes one node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hwsim.graph import Constant, Graph, Node, Tensor
from hwsim.quant import QuantParams
from hwsim.shelf import load
from hwsim.steps.step import BETWEEN

__all__ = ["CLIPPED", "MAC_OPS", "absorb", "fold_dequantized", "output_axis"]

MAC_OPS = ("conv", "conv_transpose", "matmul")
CLIPPED = (*MAC_OPS, "binary", "average_pool")
PARTLY_STORED = ("onnxruntime", "qonnx")  # these compute the other operators in real numbers
POINTWISE = ("unary", "binary", "average_pool", "softmax", "concat", "pad", "resize")


def absorb(graph: Graph) -> Graph:
    """The same network with as much of it on stored numbers as its quantizers say."""
    for pass_ in (_merge_quantizers, _fold_constant_quantizers, _sink_dequantize, _fuse_clips, _absorb_nodes):
        graph = _without_dead(pass_(graph))
    return graph


def _without_dead(graph: Graph) -> Graph:
    wanted, keep = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            keep.append(node)
            wanted.update(node.inputs)
    return graph.with_nodes(keep[::-1], graph.tensors)


def _is_static(node: Node | None, op: str) -> bool:
    """Whether a node is a quantize or dequantize with constant parameters, and of ONNX's rounding."""
    return node is not None and node.op == op and len(node.inputs) == 1 and "rounding" not in node.attrs


def _stored(graph: Graph, name: str) -> Tensor | None:
    """The stored tensor of which `name` holds the real numbers, None when there is none."""
    node = graph.producer.get(name)
    return graph.tensors[node.inputs[0]] if node is not None and _is_static(node, "dequantize") else None


def _quantized_as(graph: Graph, name: str) -> Tensor | None:
    """The one stored form in which all consumers take `name`, None when one of them takes the real numbers, or only their signs."""
    readers = graph.consumers[name]
    if name in graph.outputs or len(readers) != 1 or not _is_static(readers[0], "quantize"):
        return None
    form = graph.tensors[readers[0].outputs[0]]
    return None if form.format == "bipolar" else form


def _merge_quantizers(graph: Graph) -> Graph:
    """Quantizers that give one tensor the same stored form twice become one."""
    same: dict[str, str] = {}
    kept: dict[str, list[str]] = {}
    for node in graph.nodes:
        if _is_static(node, "quantize"):
            y = graph.tensors[node.outputs[0]]
            twins = [k for k in kept.get(node.inputs[0], []) if _same_form(graph.tensors[k], y) and y.name not in graph.outputs]
            kept.setdefault(node.inputs[0], []).append(y.name)
            if twins:
                same[y.name] = twins[0]
    nodes = [replace(n, inputs=tuple(same.get(t, t) for t in n.inputs)) for n in graph.nodes]
    return graph.with_nodes(nodes, graph.tensors)


def _same_form(a: Tensor, b: Tensor) -> bool:
    return a.quant is not None and b.quant is not None and a.quant.same_grid(b.quant)


def _fold_constant_quantizers(graph: Graph) -> Graph:
    """Float weights behind a QuantizeLinear become stored constants."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        x = tensors[node.inputs[0]] if node.op == "quantize" and len(node.inputs) == 1 else None
        if x is not None and x.constant is not None and x.quant is None:
            y = tensors[node.outputs[0]]
            tensors[y.name] = replace(y, constant=_quantized_constant(node, x.constant, y))
    return graph.with_nodes([n for n in graph.nodes if tensors[n.outputs[0]].constant is None], tensors)


def fold_dequantized(graph: Graph) -> Graph:
    """Stored constants behind a DequantizeLinear become real constants."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        x = tensors[node.inputs[0]] if _is_static(node, "dequantize") else None
        if x is not None and x.constant is not None and x.quant is not None:
            y = node.outputs[0]
            tensors[y] = replace(tensors[y], constant=_real_constant(x.constant, x.quant, y))
    return graph.with_nodes([n for n in graph.nodes if tensors[n.outputs[0]].constant is None], tensors)


def _real_constant(constant: Constant, quant: QuantParams, name: str) -> Constant:
    return Constant(lambda: quant.dequantize(constant.array), name)


def _quantized_constant(node: Node, constant: Constant, y: Tensor) -> Constant:
    return Constant(lambda: load("ops", "quantize").store(node, constant.array, y.quant), y.name)


@dataclass
class _Names:
    """Fresh tensor names."""

    tensors: dict[str, Tensor]

    def fresh(self, base: str) -> str:
        name, i = base, 1
        while name in self.tensors:
            i += 1
            name = f"{base}.{i}"
        return name


def _sink_dequantize(graph: Graph) -> Graph:
    """dequantize -> move becomes move -> dequantize, so that moved data stays stored (constants are moved at once)."""
    tensors, nodes = dict(graph.tensors), []
    names = _Names(tensors)
    stored: dict[str, Tensor] = {}
    for node in graph.nodes:
        if _is_static(node, "dequantize"):
            stored[node.outputs[0]] = tensors[node.inputs[0]]
        source = stored.get(node.inputs[0]) if node.inputs else None
        if source is None or not getattr(load("ops", node.op), "MOVES", False) or node.op == "gather":
            nodes.append(node)
            continue
        quant = _moved_quant(node, source)
        if quant is None or (source.constant is None and all(_quantized_as(graph, t) for t in node.outputs)):
            nodes.append(node)
            continue
        moved = []
        for t in node.outputs:
            y = names.fresh(f"{t}.stored")
            tensors[y] = replace(tensors[t], name=y, format=quant.format.name, quant=quant)
            moved.append(y)
        new = replace(node, inputs=(source.name, *node.inputs[1:]), outputs=tuple(moved))
        if source.constant is not None:
            tensors[moved[0]] = replace(tensors[moved[0]], constant=_moved_constant(new, source.constant))
        else:
            nodes.append(new)
        for t, y in zip(node.outputs, moved, strict=True):
            nodes.append(Node(f"{node.name}.dequantize", "dequantize", (y,), (t,), {"format": tensors[t].format, "axis": 1}, node.source))
            stored[t] = tensors[y]
    return graph.with_nodes(nodes, tensors)


def _moved_constant(node: Node, constant: Constant) -> Constant:
    return Constant(lambda: load("ops", node.op).compute(node, constant.array), node.outputs[0])


def _moved_quant(node: Node, source: Tensor) -> QuantParams | None:
    """The quantization of moved data, None when the move cannot carry it."""
    quant = source.quant
    if quant is None or quant.granularity == "per_tensor":
        return quant
    if node.op == "transpose" and quant.granularity == "per_channel":
        return quant.moved(node.attrs["perm"].index(quant.axis))
    return None


def _fuse_clips(graph: Graph) -> Graph:
    """operator -> relu or clip -> quantize becomes operator with bounds -> quantize."""
    nodes, gone = [], set()
    for node in graph.nodes:
        if node.name in gone:
            continue
        follower = _only_reader(graph, node)
        bounds = clip_bounds(follower) if follower is not None else None
        can = node.op in CLIPPED and "clip" not in node.attrs and _would_absorb_inputs(graph, node)
        if can and follower is not None and bounds is not None and _quantized_as(graph, follower.outputs[0]) is not None:
            nodes.append(replace(node, outputs=follower.outputs, attrs={**node.attrs, "clip": bounds}))
            gone.add(follower.name)
        else:
            nodes.append(node)
    return graph.with_nodes(nodes, graph.tensors)


def _only_reader(graph: Graph, node: Node) -> Node | None:
    t = node.outputs[0]
    readers = graph.consumers[t]
    return readers[0] if len(readers) == 1 and t not in graph.outputs else None


def clip_bounds(node: Node) -> tuple[float, float] | None:
    """The real bounds that a Relu or Clip sets, None for any other node."""
    if node.op != "unary" or node.attrs["function"] not in ("relu", "clip"):
        return None
    if node.attrs["function"] == "relu":
        return 0.0, float("inf")
    return float(node.attrs["params"]["low"]), float(node.attrs["params"]["high"])


def _would_absorb_inputs(graph: Graph, node: Node) -> bool:
    stored = [_stored(graph, t) or graph.tensors[t] for t in node.inputs[: 2 if node.op in MAC_OPS else None] if t]
    return all(_integer_quant(t) for t in stored)


def _integer_quant(t: Tensor) -> bool:
    return t.quant is not None and t.quant.format.is_integer


def _absorb_nodes(graph: Graph) -> Graph:
    nodes, tensors = [], dict(graph.tensors)
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if renamed.keys() & set(node.outputs):
            continue
        new = _rule(node)(graph, node)
        for old, form in zip(node.outputs, new.outputs, strict=True):
            if old != form:
                renamed[form] = old
        nodes.append(new)
    return graph.with_nodes([n for n in nodes if not _superseded(n, nodes, renamed)], tensors)


def _superseded(node: Node, nodes: list[Node], renamed: dict[str, str]) -> bool:
    """A quantizer whose output the operator before it now makes."""
    return node.op == "quantize" and node.outputs[0] in renamed and node.inputs[0] == renamed[node.outputs[0]]


def _rule(node: Node) -> Callable[[Graph, Node], Node]:
    if node.op in MAC_OPS:
        return _absorb_mac
    if node.op == "quantize":
        return _absorb_requantize
    if node.op in POINTWISE or getattr(load("ops", node.op), "MOVES", False):
        return _absorb_pointwise
    return _absorb_others


def _absorb_mac(graph: Graph, node: Node) -> Node:
    """Both operands stored: integer products.  The weights alone stored: real products with compressed weights."""
    x, w = (_stored(graph, t) or graph.tensors[t] for t in node.inputs[:2])
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    stored_bias = _stored(graph, bias) if bias else None
    if not (_integer_quant(x) and _integer_quant(w) and _mac_fits(graph, node, x, w)):
        weights = w.name if w.quant is not None and w.constant is not None else node.inputs[1]
        return replace(node, inputs=(node.inputs[0], weights, *node.inputs[2:]))
    third = (stored_bias.name if stored_bias is not None else bias,) if bias else ()
    y = _quantized_as(graph, node.outputs[0])
    takes = y is not None and _integer_quant(y) and y.quant is not None and y.quant.granularity == "per_tensor"
    return replace(node, inputs=(x.name, w.name, *third), outputs=(y.name,) if takes and y is not None else node.outputs)


def _mac_fits(graph: Graph, node: Node, x: Tensor, w: Tensor) -> bool:
    """Whether zero points, granularity and bias have an integer meaning: one scale per output channel."""
    assert x.quant is not None and w.quant is not None
    bias = graph.tensors[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    source = _stored(graph, bias.name) if bias is not None else None
    constant = bias is None or bias.constant is not None or (source is not None and source.constant is not None)
    per_output = w.quant.axis is None or w.quant.axis == output_axis(node, w)
    vector = bias is None or bias.elements == max(bias.shape, default=1)
    plain = node.attrs.get("beta", 1.0) == 1.0 or bias is None
    return x.quant.granularity == "per_tensor" and per_output and not w.quant.block_size and constant and vector and plain


def output_axis(node: Node, w: Tensor) -> int:
    """The axis of the weights that runs over output channels."""
    if node.op == "matmul":
        return len(w.shape) - (2 if node.attrs["trans_b"] else 1)
    return 1 if node.op == "conv_transpose" else 0


def _absorb_pointwise(graph: Graph, node: Node) -> Node:
    """All data stored on both sides, each with one scale."""
    index = 1 if node.op == "gather" else len(node.inputs)
    found = [_stored(graph, t) or graph.tensors[t] for t in node.inputs[:index] if t]
    forms = [_quantized_as(graph, t) for t in node.outputs]
    if any(f is None for f in forms) or not all(
        _integer_quant(t) and t.quant and t.quant.granularity == "per_tensor" for t in [*found, *forms] if t
    ):
        return node
    return replace(node, inputs=(*(t.name for t in found), *node.inputs[index:]), outputs=tuple(f.name for f in forms if f))


def _absorb_others(graph: Graph, node: Node) -> Node:
    """What a runtime with kernels on stored numbers for every operator (LiteRT) runs on them; constants may have a scale per channel."""
    if graph.source.arithmetic in PARTLY_STORED or node.op in BETWEEN or not hasattr(load("ops", node.op), "integer"):
        return node
    found = [_stored(graph, t) or graph.tensors[t] if t else None for t in node.inputs]
    forms = [_quantized_as(graph, t) if graph.consumers[t] else graph.tensors[t] for t in node.outputs]
    if forms[0] is None or not all(t is None or _integer_quant(t) for t in (*found, forms[0])):
        return node
    names = tuple(f.name if f is not None else t for f, t in zip(forms, node.outputs, strict=True))
    return replace(node, inputs=tuple(t.name if t is not None else "" for t in found), outputs=names)


def _absorb_requantize(graph: Graph, node: Node) -> Node:
    """dequantize -> quantize: stored to stored."""
    source = _stored(graph, node.inputs[0]) if _is_static(node, "quantize") else None
    return node if source is None else replace(node, inputs=(source.name,))
