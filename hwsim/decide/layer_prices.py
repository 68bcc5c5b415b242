"""Layers priced at many widths by the steps that price a whole network: each different layer once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hwsim.arch import Arch
from hwsim.cost import LayerCost
from hwsim.errors import NotDeployable
from hwsim.graph import Graph, Tensor
from hwsim.program import Program
from hwsim.quant import Array
from hwsim.simulate import price
from hwsim.steps.lower import lower
from hwsim.steps.place import FALLBACK
from hwsim.steps.residency import Residency, plan_residency
from hwsim.steps.widths import Width, at_widths

__all__ = ["QUANTITIES", "Choice", "LayerPricer", "Quantities"]

QUANTITIES = ("cycles", "energy_pj", "size_bits", "offchip_bits", "bitops")
Key = tuple[object, ...]
Quantities = tuple[float, ...]
Choice = Sequence[int] | Array


@dataclass(frozen=True, eq=False)
class LayerPricer:
    """A quantized network whose widths change, on one chip."""

    arch: Arch
    graph: Graph
    widths: tuple[Width, ...]
    options: tuple[tuple[int, ...], ...]

    def program(self, choice: Choice) -> Program:
        """The lowered network at an assignment, one option index per width.  Raises NotDeployable."""
        bits = {t: options[o] for w, options, o in zip(self.widths, self.options, choice, strict=True) for t in w.tensors}
        return lower(at_widths(self.graph, bits, self._made), self.arch)

    def rows(self, choice: Choice) -> dict[str, Quantities] | None:
        """The quantities of every layer, by the name of its first node, at an assignment; None when the chip cannot run it."""
        try:
            program = self.program(choice)
        except NotDeployable:
            return None
        residency = plan_residency(program, self.arch)
        residency = replace(residency, keeps_weights=self.kept.keeps_weights, weight_bits=self.kept.weight_bits)
        keys = [*_keys(program, residency, self._static)]
        self._price(program, residency, keys)
        return {layer.name: self._known[k] for layer, k in zip(program.layers, keys, strict=True)}

    def uniform(self, weight: int, activation: int) -> list[int]:
        """The assignment of one option to all weights and one to all activations."""
        return [weight if w.kind == "weights" else activation for w in self.widths]

    @cached_property
    def kept(self) -> Residency:
        """Weights that stay on chip between inferences take the place that they take in the widest network."""
        return plan_residency(self.program([len(o) - 1 for o in self.options]), self.arch)

    @cached_property
    def start(self) -> Quantities:
        """The quantities of starting and ending an inference of the widest network."""
        return self._start([len(o) - 1 for o in self.options])

    def start_at(self, choice: Choice) -> Quantities:
        """The same of an assignment: another on a chip whose `overheads.by_precision` tells precisions apart."""
        return self._start(choice) if self.arch.overheads.by_precision else self.start

    def _start(self, choice: Choice) -> Quantities:
        rows = price(self.arch, self.program(choice)).layers
        return next((_quantities(r, ()) for r in rows if r.op == "overhead"), (0.0,) * len(QUANTITIES))

    @cached_property
    def _made(self) -> dict[tuple[str, int], Tensor]:
        return {}

    @cached_property
    def _known(self) -> dict[Key, Quantities]:
        return {}

    @cached_property
    def _static(self) -> dict[str, str]:
        """What no width changes of a node: the operator with its attributes and the shapes and scales of its tensors."""
        found = {}
        for n in self.graph.nodes:
            tensors = [self.graph.tensors[t] for t in (*n.inputs, *n.outputs) if t]
            scales = [q and (q.granularity, q.scale.size, q.has_zero_point) for q in (t.quant for t in tensors)]
            kinds = [(t.shape, t.constant is None) for t in tensors]
            found[n.name] = repr((n.op, sorted(n.attrs.items(), key=str), kinds, scales))
        return found

    def _price(self, program: Program, residency: Residency, keys: list[Key]) -> None:
        """Price what is not known yet: layers out of their network, or all when some are on the fallback, with its handovers."""
        new = [i for i, k in enumerate(keys) if k not in self._known and k not in keys[:i]]
        if new and any(layer.unit == FALLBACK for layer in program.layers):
            new = list(range(len(keys)))
        if not new:
            return
        part = replace(program, layers=tuple(program.layers[i] for i in new))
        live, fits = tuple(residency.live_bits[i] for i in new), tuple(residency.fits[i] for i in new)
        rows = price(self.arch, part, residency=replace(residency, problems=(), live_bits=live, fits=fits)).layers
        offchip = tuple(n for n, m in self.arch.memories.items() if not m.on_chip)
        self._known.update((keys[i], _quantities(r, offchip)) for i, r in zip(new, rows, strict=False))


def _keys(program: Program, residency: Residency, static: Mapping[str, str]) -> Iterator[Key]:
    """All that each layer's price depends on."""
    before = ""
    for layer, fits in zip(program.layers, residency.fits, strict=True):
        tensors = [t for s in layer.steps for t in (*s.inputs, *s.outputs) if t is not None]
        forms = tuple((t.format, t.name in residency.tensors) for t in tensors)
        nodes = tuple((static[s.name], s.integer) for s in layer.steps)
        yield nodes, forms, layer.unit, layer.precision, fits, layer.unit == FALLBACK != before
        before = layer.unit or before


def _quantities(c: LayerCost, offchip: tuple[str, ...]) -> Quantities:
    moved = sum(c.read_bits.get(m, 0) + c.write_bits.get(m, 0) for m in offchip)
    return c.total_cycles, c.total_pj, c.weight_storage_bits, moved, c.macs * c.weight_bits * c.activation_bits
