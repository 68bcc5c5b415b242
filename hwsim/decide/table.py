"""What every layer costs at every width on a chip, and what any assignment of widths costs: the same numbers that a run prices.

Each layer is priced once for each combination of the widths that it depends on; an assignment is then a sum of entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from hwsim.allocation import Allocation
from hwsim.arch import Arch
from hwsim.decide.layer_prices import QUANTITIES, Choice, LayerPricer
from hwsim.decide.layer_terms import layer_terms
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.precision import Precision
from hwsim.program import Program
from hwsim.quant import Array
from hwsim.searches._scores import scores
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import folded
from hwsim.steps.quantize import quantize
from hwsim.steps.read import read
from hwsim.steps.widths import Width, mac_nodes, widths_of

__all__ = ["CostTable", "cost_table"]


def cost_table(arch: Arch, model: Graph, weight_bits: Iterable[int] = (2, 4, 8), activation_bits: Iterable[int] = (2, 4, 8)) -> CostTable:
    """The costs of a network's layers on a chip at all pairs of widths; a float network is quantized by the chip's rules first.

    Raises HwsimError for widths that are none, and NotDeployable when the chip cannot run the network at the widest.
    """
    weights, activations = _widths("weight_bits", weight_bits), _widths("activation_bits", activation_bits)
    graph = folded(model, arch)
    if not mac_nodes(graph):
        graph = _quantized(graph, arch, max(weights), max(activations))
    return CostTable(arch, graph, weights, activations)


def _widths(name: str, bits: Iterable[int]) -> tuple[int, ...]:
    found = tuple(sorted(set(bits)))
    if not found or not all(1 <= b <= 16 for b in found):
        raise HwsimError(name, "must be widths of 1 to 16 bits", ", ".join(map(str, found)) or "none")
    return found


def _quantized(graph: Graph, arch: Arch, weight: int, activation: int) -> Graph:
    """The network quantized by the chip's rules, with ranges that no cost depends on."""
    source = fold_batch_norm(graph.source)
    shapes = {t: graph.tensors[t].shape for t in graph.inputs}
    ranges = dict.fromkeys(read(source, shapes).tensors, (-1.0, 1.0))
    return read(quantize(source, arch.quantization, f"w{weight}a{activation}", ranges, shapes), shapes)


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs by layer and width: cycles, pJ, stored bits of weights, bits that go off chip and come from there, and bit operations
    (MACs x weight bits x activation bits, HAWQ-V3).

    `cells` are layers' rows when the whole network has one pair of widths; `evaluate` prices assignments that mix them.  Both are what
    `estimate` says, exactly, with two simplifications: where a chip keeps weights between inferences, the room that they take from
    activations is that of the widest network; and so is the start of an inference on a chip whose `overheads.by_precision` tells
    precisions apart, which `price` alone has as it is.
    """

    arch: Arch
    graph: Graph
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]

    @cached_property
    def widths(self) -> tuple[Width, ...]:
        """The widths that an assignment chooses, one option index each."""
        return widths_of(self.graph, self.arch.quantization)

    @cached_property
    def options(self) -> tuple[tuple[int, ...], ...]:
        """The bits behind each option of each width; the rule for the first and last layer may make options equal."""
        bits = {"weights": self.weight_bits, "activations": self.activation_bits}
        return tuple(tuple(max(b, w.least) for b in bits[w.kind]) for w in self.widths)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers that multiply and accumulate, in run order."""
        return tuple(n.name for n in mac_nodes(self.graph))

    def cells(self, quantity: str) -> Array:
        """One quantity, (layers, weight widths, activation widths); infinite where the chip cannot run the network."""
        values = np.full((len(self.layers), len(self.weight_bits), len(self.activation_bits)), np.inf)
        at = QUANTITIES.index(quantity)
        for i, j in product(range(len(self.weight_bits)), range(len(self.activation_bits))):
            rows = self._pricer.rows(self._pricer.uniform(i, j))
            values[:, i, j] = [rows[name][at] for name in self.layers] if rows else np.inf
        return values

    @cached_property
    def allocation(self) -> Allocation:
        """The costs of all assignments as sums of terms (no quantity is limited)."""
        terms = layer_terms(self._pricer)
        return Allocation(tuple(map(len, self.options)), QUANTITIES, terms, (np.inf,) * len(QUANTITIES), tuple(w.name for w in self.widths))

    def evaluate(self, choices: Array) -> Array:
        """The costs (n, quantities) of assignments (n, widths): the cycles, pJ and bits that a run of the same assignment reports."""
        return scores(self.allocation, choices)

    def price(self, choice: Choice) -> tuple[float, ...]:
        """The costs of one assignment, without the table of all.  Raises NotDeployable when the chip cannot run it."""
        rows = self._pricer.rows(choice)
        if rows is None:
            self._pricer.program(choice)
            raise AssertionError("a program that cannot be lowered says why")
        return tuple(map(sum, zip(self._pricer.start_at(choice), *rows.values(), strict=True)))

    def program(self, choice: Choice) -> Program:
        """The lowered network at an assignment.  Raises NotDeployable when the chip cannot run it."""
        return self._pricer.program(choice)

    def choice(self, precision: Precision) -> list[int]:
        """The options of a precision, the narrowest that is wide enough for every layer that names a width."""
        found = []
        for w, options in zip(self.widths, self.options, strict=True):
            wanted = max(precision.of(n)[w.kind == "activations"] for n in w.nodes)
            found.append(next((o for o, b in enumerate(options) if b >= wanted), len(options) - 1))
        return found

    def precision(self, choice: Choice) -> Precision:
        """An assignment as the Precision that a quantizer obeys."""
        bits: dict[str, dict[str, int]] = {"weights": {}, "activations": {}}
        for w, options, o in zip(self.widths, self.options, choice, strict=True):
            bits[w.kind].update(dict.fromkeys(w.nodes, options[o]))
        default = max(self.weight_bits), max(self.activation_bits)
        names = [n.name for n in self.graph.nodes if n.name in bits["weights"] or n.name in bits["activations"]]
        return Precision(default, {n: (bits["weights"].get(n, default[0]), bits["activations"].get(n, default[1])) for n in names})

    @cached_property
    def _pricer(self) -> LayerPricer:
        return LayerPricer(self.arch, self.graph, self.widths, self.options)
