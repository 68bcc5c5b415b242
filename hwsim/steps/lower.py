"""The graph lowered for one chip: fused layers on their units, with the chip's arithmetic.  What is executed is what is priced."""

from __future__ import annotations

from dataclasses import replace

from hwsim import formats
from hwsim.arch import Arch
from hwsim.errors import NotDeployable
from hwsim.graph import Constant, Graph, Tensor
from hwsim.program import Layer, Program, Step
from hwsim.shelf import load
from hwsim.steps.dead_channels import without_dead_channels
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.place import FALLBACK, FREE, Placement, place, real_format
from hwsim.steps.read import read
from hwsim.steps.step import is_mac, step_of
from hwsim.steps.written import as_written

__all__ = ["as_written", "folded", "lower"]


def lower(graph: Graph, arch: Arch) -> Program:
    """The network as the chip runs it: each operator placed, operators fused behind arrays, real numbers in the chip's format.

    Raises NotDeployable when an operator has no place and the chip has no fallback.
    """
    graph = _in_real_format(folded(graph, arch), real_format(arch))
    if arch.removes_dead_channels:
        graph = without_dead_channels(graph, {p.node.name: p.step for p in place(arch, graph)})
    layers: list[Layer] = []
    made_by: dict[str, int] = {}
    outside = set(graph.inputs)
    placements = place(arch, graph)
    lost = [p for p in placements if p.unit == FALLBACK and arch.fallback is None]
    if lost:
        must = f"must run on {arch.name}, which has no fallback"
        raise NotDeployable.joined([NotDeployable(p.node.where, f"{must}: {p.reason}") for p in lost])
    for p in placements:
        if p.node.op == "concat" and _written_in_place(arch, graph, layers, made_by, p):
            p = replace(p, unit=FREE)
        if p.unit == FREE and outside.issuperset(p.node.inputs):
            outside.update(p.node.outputs)
        host = _host(arch, graph, layers, made_by, p)
        if host is None:
            layers.append(_layer(arch, p, outside))
            host = len(layers) - 1
        else:
            layers[host] = replace(layers[host], steps=(*layers[host].steps, p.step))
        made_by.update(dict.fromkeys(p.node.outputs, host))
    return Program(graph, arch.name, tuple(_ended(layer, graph) for layer in layers), graph.tensors)


def _ended(layer: Layer, graph: Graph) -> Layer:
    """The layer, knowing whether it makes an output of the network."""
    return replace(layer, ends=layer.ends | {"output"}) if layer.output.name in graph.outputs else layer


def folded(graph: Graph, arch: Arch) -> Graph:
    """Batch normalization folded into float weights, as every deployment tool for such a chip does."""
    if arch.quantization.batch_norm != "folded" or not any(n.op == "batch_norm" for n in graph.nodes):
        return graph
    return read(fold_batch_norm(graph.source), {t: graph.tensors[t].shape for t in graph.inputs}, qdq=graph.qdq)


def _in_real_format(graph: Graph, name: str) -> Graph:
    """float32 tensors between operators kept in the chip's own real format; the network's inputs and outputs stay as they are."""
    if name == "float32":
        return graph
    fixed = {*graph.inputs, *graph.outputs}
    fixed |= {t for n in graph.nodes if step_of(graph, n, "").integer for t in n.inputs}
    return graph.with_nodes(graph.nodes, {k: _narrowed(t, name) if k not in fixed else t for k, t in graph.tensors.items()})


def _narrowed(t: Tensor, name: str) -> Tensor:
    """A real tensor in the chip's format; constants are rounded when they are first needed."""
    if t.format != "float32" or t.quant is not None:
        return t
    constant = t.constant
    rounded = constant and Constant(lambda: formats.get(name).round(constant.array), t.name)
    return replace(t, format=name, constant=rounded)


def _layer(arch: Arch, p: Placement, outside: set[str]) -> Layer:
    step = p.step
    loops = load("ops", step.op).loops(p.node, step.inputs, step.outputs) if is_mac(step.op) else None
    x, w = step.inputs[0], step.inputs[1] if len(step.inputs) > 1 and is_mac(step.op) else None
    return Layer(
        p.node.name,
        (step,),
        p.unit,
        loops,
        w.format if w else "",
        x.format if x else "",
        p.stored,
        p.runs,
        _note(arch, p),
        p.carried.rate if p.carried else 0.0,
        frozenset({"input"} if x is not None and x.name in outside else ()),
    )


def _note(arch: Arch, p: Placement) -> str:
    if p.unit == FREE and p.node.op == "concat":
        return "written in place by what it joins"
    if p.unit == FALLBACK and arch.fallback is not None:
        return f"on {arch.fallback.name}: {p.reason}"
    removed = p.node.attrs.get("removed")
    notes = [f"{removed} dead output channels removed" if removed else "", p.carried.how if p.carried else ""]
    return "; ".join(n for n in notes if n and n != "native")


def _host(arch: Arch, graph: Graph, layers: list[Layer], made_by: dict[str, int], p: Placement) -> int | None:
    """The layer that this node is fused into, None when it stands alone.

    A node that costs nothing joins what makes its input; an array or vector unit takes the operators that it fuses while nothing
    else reads what lies between, and their other operands exist before it starts.
    """
    sources = [t for t in p.node.inputs if t in made_by]
    if not sources or p.unit == FALLBACK:
        return None
    host = max(made_by[t] for t in sources)
    between = [t for t in sources if made_by[t] == host]
    if p.unit == FREE:
        return host if p.node.op != "concat" else None
    layer = layers[host]
    if layer.unit in (FREE, FALLBACK) or layer.steps[-1].outputs[0].name not in between or len(between) > 1:
        return None
    return host if _private(graph, between[0]) and _fused_name(p.step) in _fuses(arch, layer.unit) else None


def _fuses(arch: Arch, unit: str) -> tuple[str, ...]:
    return (*arch.arrays[unit].fuses, "quantize") if unit in arch.arrays else tuple(arch.vector[unit].fuses)


def _private(graph: Graph, tensor: str) -> bool:
    return len(graph.consumers[tensor]) == 1 and tensor not in graph.outputs


def _written_in_place(arch: Arch, graph: Graph, layers: list[Layer], made_by: dict[str, int], p: Placement) -> bool:
    """Whether all that a concatenation joins is written straight to its place: on the same grid, by units that do so, for it alone."""
    units = [layers[made_by[t]].unit if t in made_by and _private(graph, t) else FREE for t in p.node.inputs]
    writes = all(u not in (FREE, FALLBACK) and "concat" in _fuses(arch, u) for u in units)
    return len(units) > 1 and writes and "copy" in load("ops", "concat").work(p.node, p.step.inputs, p.step.outputs)


def _fused_name(step: Step) -> str:
    """What `fuses` calls a step: its function; a sum with a constant is a bias."""
    function = str(step.node.attrs.get("function", step.op))
    constant = [t is not None and t.constant is not None for t in step.inputs]
    return "bias" if function == "add" and any(constant) else function
