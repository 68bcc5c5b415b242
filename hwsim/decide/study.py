"""A float network on a chip with what each layer stores at every width, its data, and bit-true runs of any mixture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwsim.arch import Arch
from hwsim.decide.points import source_version
from hwsim.decide.table import CostTable, cost_table
from hwsim.graph import Graph, SourceGraph
from hwsim.pipeline.quantize import Outcome
from hwsim.precision import Precision
from hwsim.program import Layer, Program
from hwsim.quant import Array, QuantParams
from hwsim.quantizing import quantize_for
from hwsim.steps.execute import executor
from hwsim.steps.lower import as_written, lower
from hwsim.steps.plan_quantizers import Plan
from hwsim.steps.read import read
from hwsim.steps.score import choose_metric
from hwsim.steps.write_qdq import Choices, StoredWeights, write_qdq

__all__ = ["Question", "Study", "numerics"]

MOST_KEPT = 1 << 30  # elements of tensors kept from the network of the widest widths
BATCH_ELEMENTS = 1 << 25  # of all tensors of a batch


@dataclass(frozen=True, eq=False)
class Question:
    """A float network, a chip, widths to choose from, data: `x` and `y` to judge on, `calibration` inputs to quantize with by `method`."""

    arch: Arch
    source: SourceGraph
    calibration: Array
    x: Array
    y: Array
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    method: str
    metric: str = ""
    seed: int = 0

    def first(self, samples: int) -> Question:
        """The same on fewer samples."""
        return self if samples >= len(self.x) else replace(self, x=self.x[:samples], y=self.y[:samples])

    @property
    def widest(self) -> Precision:
        return Precision((max(self.weight_bits), max(self.activation_bits)))

    @cached_property
    def key(self) -> bytes:
        """Of everything that decides what any mixture of widths computes: contents, not names; the chip by its numerics alone."""
        h = hashlib.blake2b(digest_size=16)
        h.update(repr((source_version(), numerics(self.arch), self.source.sha256, self.method, self.seed, self.widest)).encode())
        for array in (self.calibration, self.x, self.y):
            h.update(repr((array.shape, str(array.dtype))).encode() + np.ascontiguousarray(array).tobytes())
        return h.digest()

    @cached_property
    def table(self) -> CostTable:
        """The costs of all mixtures on the chip."""
        return cost_table(self.arch, read(self.source, self.shapes(1)), self.weight_bits, self.activation_bits)

    @cached_property
    def float_outputs(self) -> Array:
        """The float network's outputs on x."""
        batch = self.batch
        program = as_written(read(self.free, self.shapes(batch)))
        return _run(program, self.x, batch)

    def quantized(self, bits: str | Precision, also: Sequence[Precision] = ()) -> Outcome:
        """The network quantized layer after layer by the method."""
        return quantize_for(self.arch, self.source, self.calibration, bits, self.method, self.seed, also=also)

    def outputs(self, network: SourceGraph) -> Array:
        """What the chip computes of a quantized network on x."""
        return _run(lower(read(network, self.shapes(self.batch)), self.arch), self.x, self.batch)

    @property
    def kind(self) -> str:
        """The metric."""
        return self.metric or choose_metric(self.y)

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The input's shape."""
        return {self.source.inputs[0]: (batch, *self.x.shape[1:])}

    @cached_property
    def batch(self) -> int:
        """As many samples as keep the tensors of a batch small."""
        graph = read(self.free, self.shapes(1))
        one = sum(t.elements for t in graph.tensors.values() if t.constant is None)
        return int(min(len(self.x), max(1, BATCH_ELEMENTS // one)))

    @cached_property
    def free(self) -> SourceGraph:
        """The float network for any batch."""
        from hwsim.pipeline.free_batch import free_batch

        return free_batch(self.source)


@dataclass(frozen=True, eq=False)
class Study:
    """A question with its candidates: what each layer stores at each width, chosen in its place in the widest network."""

    question: Question
    outcome: Outcome

    @classmethod
    def of(cls, question: Question) -> Study:
        """Quantize, once for the widest network, with candidates at all other widths on the way."""
        widths = sorted({*question.weight_bits, *question.activation_bits})
        return cls(question, question.quantized(question.widest, [Precision((b, b)) for b in widths]))

    @cached_property
    def outputs(self) -> Array:
        """What the chip computes of the widest network on x."""
        program, batch = self._program, self.question.batch
        elements = sum(t.elements for t in program.graph.tensors.values() if t.constant is None)
        keep = elements * -(-len(self.question.x) // batch) <= MOST_KEPT
        run, parts = executor(program, all_tensors=keep), []
        for i in range(0, len(self.question.x), batch):
            x = self.question.x[i : i + batch]
            found = run({program.graph.inputs[0]: _filled(x, batch)}).tensors
            if keep:
                self._kept[i] = found
            parts.append(found[program.graph.outputs[0]][: len(x)])
        return np.concatenate(parts)

    def network(self, precision: Precision) -> SourceGraph:
        """The network with every layer's candidate of its width: quantized in one shot, for the widest network's inputs."""
        plan = replace(self.outcome.plan, precision=precision)
        found = Choices()
        for layer in plan.layers:
            at = layer, plan.weight_bits(layer)
            found.weights[layer], bias = self._weights[at]
            if bias is not None:
                found.biases[layer] = bias
        for t in self._tensors:
            found.activations[t] = self._activations[t, plan.activation_bits(t)]
        return write_qdq(self.outcome.prepared, plan, found)

    def mixed_outputs(self, precision: Precision) -> Array:
        """What the chip computes of `network(precision)` on x; layers before the first that differs are not computed again."""
        question, batch = self.question, self.question.batch
        assert len(self.outputs) == len(question.x)
        graph = read(self.network(precision), question.shapes(batch))
        program = lower(graph, question.arch)
        first = _first_difference(program, self._program)
        if not self._kept or first == 0:
            return _run(program, question.x, batch)
        rest = _from_layer(program, first)
        run, parts = executor(rest), []
        for i in range(0, len(question.x), batch):
            feeds = {t: self._kept[i][t] for t in rest.graph.inputs}
            parts.append(run(feeds).tensors[graph.outputs[0]][: len(question.x) - i])
        return np.concatenate(parts)

    def perturbation(self, layer: str, bits: int) -> tuple[float, float]:
        """Squared distance of a layer's stored weights from its float weights, and the squared float weights."""
        node = self.outcome.plan.layers[layer]
        constant = self.outcome.plan.graph.tensors[node.inputs[1]].constant
        assert constant is not None
        held, real = self._weights[layer, self._at(layer, bits)][0], constant.array.astype(np.float64)
        return float(np.square(held.quant.dequantize(held.stored) - real).sum()), float(np.square(real).sum())

    def _at(self, layer: str, bits: int) -> int:
        return replace(self.outcome.plan, precision=Precision((bits, bits))).weight_bits(layer)

    @cached_property
    def _tensors(self) -> list[str]:
        return sorted(self.outcome.choices[0].activations)

    @cached_property
    def _plans(self) -> list[tuple[Plan, Choices]]:
        widths = sorted({*self.question.weight_bits, *self.question.activation_bits})
        precisions = self.question.widest, *(Precision((b, b)) for b in widths)
        return [(replace(self.outcome.plan, precision=p), c) for p, c in zip(precisions, self.outcome.choices, strict=True)]

    @cached_property
    def _weights(self) -> dict[tuple[str, int], tuple[StoredWeights, Array | None]]:
        return {(n, p.weight_bits(n)): (c.weights[n], c.biases.get(n)) for p, c in self._plans for n in p.layers}

    @cached_property
    def _activations(self) -> dict[tuple[str, int], QuantParams]:
        return {(t, p.activation_bits(t)): c.activations[t] for p, c in self._plans for t in self._tensors}

    @cached_property
    def _program(self) -> Program:
        graph = read(self.network(self.question.widest), self.question.shapes(self.question.batch))
        return lower(graph, self.question.arch)

    @cached_property
    def _kept(self) -> dict[int, Mapping[str, Array]]:
        return {}


def numerics(arch: Arch) -> str:
    """All of a chip that decides what it computes, and nothing of what it costs."""
    units = {n: repr((a.kind, a.runs, a.fuses, a.accumulator, a.rates, a.compose, a.serial)) for n, a in arch.arrays.items()}
    units |= {n: repr((v.runs, v.fuses, v.wide, v.real)) for n, v in arch.vector.items()}
    fallback = None if arch.fallback is None else arch.fallback.format
    return repr((units, repr(arch.arithmetic), repr(arch.quantization), fallback, arch.channels_last))


def _run(program: Program, x: Array, batch: int) -> Array:
    name, run, found = program.graph.inputs[0], executor(program), []
    for i in range(0, len(x), batch):
        part = x[i : i + batch]
        found.append(run({name: _filled(part, batch)}).tensors[program.graph.outputs[0]][: len(part)])
    return np.concatenate(found)


def _filled(x: Array, batch: int) -> Array:
    return np.concatenate([x, np.repeat(x[-1:], batch - len(x), 0)])


def _first_difference(a: Program, b: Program) -> int:
    """The first layer that is not the same in both programs."""
    for i, (one, other) in enumerate(zip(a.layers, b.layers, strict=False)):
        if not _same(one, other):
            return i
    return min(len(a.layers), len(b.layers)) - 1


def _same(a: Layer, b: Layer) -> bool:
    if [s.node for s in a.steps] != [s.node for s in b.steps] or (a.unit, a.precision) != (b.unit, b.precision):
        return False
    pairs = [
        (p, q) for s, t in zip(a.steps, b.steps, strict=True) for p, q in zip((*s.inputs, *s.outputs), (*t.inputs, *t.outputs), strict=True)
    ]
    return all(_same_tensor(p, q) for p, q in pairs)


def _same_tensor(a, b) -> bool:  # type: ignore[no-untyped-def]
    if a is None or b is None or a != b:
        return a is b
    if (a.quant is None) != (b.quant is None) or (a.constant is None) != (b.constant is None):
        return False
    if a.quant is not None and not (
        np.array_equal(a.quant.scale, b.quant.scale) and np.array_equal(a.quant.zero_point, b.quant.zero_point)
    ):
        return False
    return a.constant is None or a.constant is b.constant or np.array_equal(a.constant.array, b.constant.array)


def _from_layer(program: Program, first: int) -> Program:
    """The program from one layer on; what earlier layers made are its inputs."""
    layers = program.layers[first:]
    steps = [s for layer in layers for s in layer.steps]
    made = {t.name for s in steps for t in s.outputs}
    read_ = dict.fromkeys(t.name for s in steps for t in s.inputs if t is not None and t.constant is None and t.name not in made)
    names = {s.name for s in steps}
    graph: Graph = replace(program.graph, inputs=tuple(read_), nodes=tuple(n for n in program.graph.nodes if n.name in names))
    return replace(program, graph=graph, layers=layers)
