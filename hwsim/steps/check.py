"""Deployability: what the chip runs in integers and at which widths, and which of its rules the quantized network breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.arch import Arch, Rules
from hwsim.graph import Graph
from hwsim.program import Step
from hwsim.shelf import load
from hwsim.steps.absorb import MAC_OPS
from hwsim.steps.grids import Fault, grid_faults
from hwsim.steps.lower import folded
from hwsim.steps.place import FALLBACK, Placement, place
from hwsim.steps.plan_quantizers import JOINS, accumulated_branches, rides_along
from hwsim.steps.step import is_mac, step_of

__all__ = ["CheckReport", "check"]


@dataclass(frozen=True)
class CheckReport:
    """Where every node runs; the rules that are broken; the requantizations that the chip's graph rule would add and remove."""

    placements: tuple[Placement, ...]
    findings: tuple[Fault, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def deployable(self) -> bool:
        return not self.findings


def check(arch: Arch, graph: Graph) -> CheckReport:
    """Hold a network against a chip: its operators, its quantizers, its graph rule.

    A float network has no quantizers to judge: what the chip cannot run of it is a finding only when there is no fallback.
    """
    graph = folded(graph, arch)
    placements = place(arch, graph)
    faults = list(_unplaced(arch, placements))
    added: list[str] = []
    removed: list[str] = []
    if _is_quantized(graph):
        steps = [step_of(graph, n, "") for n in graph.nodes]
        faults += [f for s in steps if s.integer for f in grid_faults(arch.quantization, s)]
        faults += _batch_norm_faults(arch.quantization, graph)
        faults += _end_faults(arch.quantization, steps)
        faults += _scale_faults(arch.quantization, steps)
        for fault, kind, what in _graph_faults(arch.quantization, graph, steps):
            faults.append(fault)
            (added if kind == "add" else removed).append(what)
    unique = {(f.rule, f.message): f for f in faults}
    return CheckReport(tuple(placements), tuple(unique.values()), tuple(dict.fromkeys(added)), tuple(dict.fromkeys(removed)))


def _is_quantized(graph: Graph) -> bool:
    return any(t.quant is not None and t.constant is None for t in graph.tensors.values())


def _unplaced(arch: Arch, placements: list[Placement]) -> Iterator[Fault]:
    for p in placements:
        if p.unit == FALLBACK and arch.fallback is None:
            yield Fault(p.node.name, "unsupported", f"{p.node.where} cannot run: {p.reason}, and the chip has no fallback")


def _batch_norm_faults(rules: Rules, graph: Graph) -> list[Fault]:
    if rules.batch_norm != "folded":
        return []
    return [
        Fault(n.name, "batch_norm", f"batch normalization '{n.name}' is not folded into the layer before it")
        for n in graph.nodes
        if n.op == "batch_norm"
    ]


def _end_faults(rules: Rules, steps: list[Step]) -> list[Fault]:
    """The first and last multiply-accumulate keep at least the rule's width."""
    macs = [s for s in steps if s.op in MAC_OPS and s.integer and s.inputs[1] is not None and s.inputs[1].constant is not None]
    faults = []
    for s in {s.name: s for s in (macs[:1] + macs[-1:])}.values():
        for t in s.inputs[:2]:
            if t is not None and t.quant is not None and t.quant.bits < rules.first_last_bits:
                which = "first" if s is macs[0] else "last"
                message = f"the {which} layer '{s.name}' uses {t.quant.bits} bits, the chip wants {rules.first_last_bits}"
                faults.append(Fault(s.name, "first_last", message))
    return faults


def _scale_faults(rules: Rules, steps: list[Step]) -> list[Fault]:
    """Operators whose stored inputs and outputs must share one scale."""
    faults = []
    for s in steps:
        name = str(s.node.attrs.get("function", s.op))
        quants = [t.quant for t in (*s.inputs, *s.outputs) if t is not None and t.quant is not None]
        if name in rules.same_scale and s.integer and any(not q.same_grid(quants[0]) for q in quants[1:]):
            faults.append(Fault(s.name, "same_scale", f"{name} '{s.name}' must have one scale for its inputs and output"))
    return faults


def _graph_faults(rules: Rules, graph: Graph, steps: list[Step]) -> Iterator[tuple[Fault, str, str]]:
    """Quantizers that the chip's graph rule lacks (`add`) or does not execute (`remove`)."""
    rule = {1: _rule_1, 2: _rule_2, 3: _rule_3}[rules.graph]
    inside = _between_macs(graph)
    for s in steps:
        for message, kind, what in rule(graph, s, s.name in inside):
            yield Fault(s.name, f"graph_{rules.graph}", message), kind, what


def _between_macs(graph: Graph) -> set[str]:
    """Nodes with a multiply-accumulate before and after them, and those themselves."""
    before: set[str] = set()
    reached: set[str] = set()
    for n in graph.nodes:
        if is_mac(n.op) or reached.intersection(n.inputs):
            reached.update(n.outputs)
            before.add(n.name)
    wanted: set[str] = set()
    inside = set()
    for n in reversed(graph.nodes):
        if is_mac(n.op) or wanted.intersection(n.outputs):
            wanted.update(n.inputs)
            if n.name in before:
                inside.add(n.name)
    return inside


def _rule_1(graph: Graph, s: Step, inside: bool) -> Iterator[tuple[str, str, str]]:
    """Only inputs and weights of convolutions and linear layers are quantized; everything else runs in float."""
    if s.op not in MAC_OPS and not _only_moves(s):
        for t in _data(graph, s):
            if stored := _stored(graph, t):
                yield f"graph rule 1: the chip runs '{s.name}' in float, and does not execute the quantizer '{stored}'", "remove", stored


def _rule_2(graph: Graph, s: Step, inside: bool) -> Iterator[tuple[str, str, str]]:
    """Every operator's inputs are quantized, but one convolution output into an addition is not."""
    if s.op not in JOINS or not inside:
        return
    real = [t for t in _data(graph, s) if not _stored(graph, t)]
    branches = accumulated_branches(graph, s.node)
    spared = next((t for t in branches if t in real), "")
    if branches and not spared:
        stored = _stored(graph, branches[0])
        yield (
            (
                f"graph rule 2: the chip adds the convolution output of '{s.name}' where it accumulates, "
                f"and does not execute the quantizer '{stored}'"
            ),
            "remove",
            stored,
        )
    for t in real:
        if t != spared:
            yield f"graph rule 2: the input '{t}' of '{s.name}' is not quantized", "add", t


def _rule_3(graph: Graph, s: Step, inside: bool) -> Iterator[tuple[str, str, str]]:
    """The whole graph is integer."""
    if inside and not _only_moves(s) and not rides_along(graph, s.node):
        for t in _data(graph, s):
            if not _stored(graph, t):
                yield f"graph rule 3: the input '{t}' of '{s.name}' is not quantized", "add", t


def _data(graph: Graph, s: Step) -> list[str]:
    """What an operator reads of the network's data: no constants, no indices."""
    tensors = [graph.tensors[t] for t in s.node.inputs if t]
    return [t.name for t in tensors if t.constant is None and t.format not in ("int64", "bool")]


def _stored(graph: Graph, name: str) -> str:
    """The stored tensor that a name is, or is the real form of; "" for a real one."""
    maker = graph.producer.get(name)
    if maker is not None and maker.op == "dequantize":
        return maker.inputs[0]
    return name if graph.tensors[name].quant is not None else ""


def _only_moves(s: Step) -> bool:
    """Whether an operator only changes form or place, so that it needs no quantizer of its own."""
    return s.op in ("quantize", "dequantize", "reinterpret") or (getattr(load("ops", s.op), "MOVES", False) and s.op not in JOINS)
