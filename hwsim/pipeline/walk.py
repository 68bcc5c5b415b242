"""Ranges, rounding and bias correction in one walk through the network: float and quantized values of the calibration set side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node
from hwsim.pipeline.align import Statistics, aligned
from hwsim.pipeline.blocks import Block, blocks_of
from hwsim.pipeline.forward import Found, compute, constant_or, forward, last_uses
from hwsim.pipeline.layer import Layer, quantize_layer
from hwsim.pipeline.linear import is_linear
from hwsim.pipeline.recipe import Recipe
from hwsim.quant import Array, QuantParams
from hwsim.quantizers._affine import Scheme, fake
from hwsim.shelf import load
from hwsim.steps.plan_quantizers import Plan
from hwsim.steps.quantize import activation_quant, nearest_weights
from hwsim.steps.write_qdq import Choices, StoredWeights

__all__ = ["LayerReport", "walk"]

SAMPLES = 40_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerReport:
    """What quantization did to one layer: range and clipping of its input, and signal over noise of weights and output in dB."""

    name: str
    precision: str
    input_range: tuple[float, float]
    clipped: float
    weight_sqnr_db: float
    output_sqnr_db: float


@dataclass
class _State:
    """Values of tensors that are still needed, float and quantized, and what was chosen so far."""

    real: dict[str, Array]
    quantized: dict[str, Array]
    samples: Mapping[str, Array]
    others: Sequence[tuple[Plan, Choices]]
    statistics: Statistics
    activations: dict[str, QuantParams] = field(default_factory=dict)
    rounded: dict[tuple[str, str], Array] = field(default_factory=dict)
    weights: dict[str, StoredWeights] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    reports: list[LayerReport] = field(default_factory=list)
    fixed: Mapping[str, StoredWeights] = field(default_factory=dict)


def walk(
    plan: Plan,
    feeds: Mapping[str, Array],
    recipe: Recipe,
    progress: Progress | None,
    others: Sequence[tuple[Plan, Choices]],
    statistics: Statistics,
) -> tuple[Choices, list[LayerReport]]:
    """What to store for each activation, weight and bias, decided layer by layer on the calibration inputs `feeds`.

    Each layer is fitted on the inputs that it gets from the layers already quantized, and corrected towards the float network's
    output; transposed convolutions and batched products are rounded to nearest.  Ranges of activations are set on the quantized
    network's own values; tensors that share a quantizer with a later one see its float values.  Tensors whose `statistics` are given
    are made to have them.  `others` are plans of other widths, to be filled with what each layer would store there, given the inputs
    that it has in this plan.  With `brecq` or `qdrop` each block's rounding is learned again when its last layer is done.
    """
    state = _State(dict(feeds), dict(feeds), _shared_samples(plan, feeds, _picker(recipe), statistics), others, statistics)
    last = last_uses(plan.graph)
    refine = _Refiner(plan, feeds, recipe) if recipe.reconstructs else None
    for i, node in enumerate(plan.graph.nodes):
        if refine:
            refine.before(node, state)
        _step(plan, node, recipe, state)
        if refine:
            refine.behind(node, state)
        for values in (state.real, state.quantized):
            for t in [t for t in node.inputs if last.get(t) == i]:
                values.pop(t, None)
        state.rounded = {k: v for k, v in state.rounded.items() if last.get(k[0], -1) > i}
        if progress:
            progress(i + 1, len(plan.graph.nodes))
    for t in plan.graph.outputs:
        if any(e[0] == t for e in plan.edges):
            _quant(plan, t, recipe, state)
    return Choices(state.activations, state.weights, state.biases), state.reports


def _step(plan: Plan, node: Node, recipe: Recipe, state: _State) -> None:
    """Compute one node in float and quantized; a layer with weights is quantized on the way."""
    real = [constant_or(plan.graph, t, state.real) for t in node.inputs]
    taken = [_taken(plan, t, node, recipe, state) for t in node.inputs]
    x, xq, weights = real[0], taken[0], real[1] if node.name in plan.layers else None
    outputs: tuple[Found, Found]
    if x is not None and xq is not None and weights is not None and is_linear(node, weights):
        layer = Layer(node, x, xq, weights, real[2] if len(real) > 2 else None)
        done = quantize_layer(plan, layer, recipe, state.fixed.get(node.name))
        state.weights[node.name] = done.weights
        outputs = done.real, done.quantized
        if done.bias is not None:
            state.biases[node.name] = done.bias
        for other, chosen in state.others:
            again = done if other.weight_bits(node.name) == plan.weight_bits(node.name) else quantize_layer(other, layer, recipe)
            chosen.weights[node.name] = again.weights
            if again.bias is not None:
                chosen.biases[node.name] = again.bias
        state.reports.append(_report(node, state, done.weight_sqnr_db, sqnr_db(done.real, done.quantized)))
    else:
        if node.name in plan.layers:
            held = state.weights[node.name] = nearest_weights(plan, node)
            for other, chosen in state.others:
                chosen.weights[node.name] = nearest_weights(other, node)
            taken[1] = held.quant.dequantize(held.stored)
        outputs = compute(node, real), compute(node, taken)
    known = state.statistics.get(node.outputs[0])
    if known is not None and isinstance(outputs[0], np.ndarray) and isinstance(outputs[1], np.ndarray):
        outputs = aligned(outputs[0], outputs[1], known)
    for values, found in zip((state.real, state.quantized), outputs, strict=True):
        values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False))


class _Refiner:
    """Learns the rounding of each block again once the layers of it are done, and keeps what is better on the block's output."""

    def __init__(self, plan: Plan, feeds: Mapping[str, Array], recipe: Recipe) -> None:
        try:
            from hwsim.pipeline.reconstruct import fisher_weights
        except ImportError:
            hint = "pip install 'hwsim[train]'"
            raise HwsimError("--method", "must have PyTorch for brecq and qdrop", "an environment without it", hint) from None

        self.plan, self.recipe = plan, recipe
        self.blocks = blocks_of(plan)
        outputs = [b.output for b in self.blocks] if recipe.reconstruct_blocks else []
        self.importance = fisher_weights(plan.graph, feeds[plan.graph.inputs[0]], outputs) if outputs else {}
        self.start: tuple[Array, Array] | None = None

    def before(self, node: Node, state: _State) -> None:
        """Keep a block's input."""
        block = next((b for b in self.blocks if b.nodes[0] is node), None)
        if block is not None:
            self.start = state.quantized[block.input], state.real[block.input]

    def behind(self, node: Node, state: _State) -> None:
        """Learn when the block is complete."""
        block = next((b for b in self.blocks if b.nodes[-1] is node), None)
        if block is not None and self.start is not None:
            self._refine(block, *self.start, state)

    def _refine(self, block: Block, quantized: Array, real: Array, state: _State) -> None:
        from hwsim.pipeline.reconstruct import Problem, reconstruct

        target, importance = state.real[block.output], self.importance.get(block.output)
        problem = Problem(block, quantized, real, target, importance, state.weights, state.biases, state.activations)
        found = reconstruct(self.plan, problem, self.recipe.drop_quantizers, self.recipe.seed)
        fixed = {name: StoredWeights(stored, state.weights[name].quant) for name, stored in found.items()}
        again = replace(state, real={block.input: real}, quantized={block.input: quantized}, fixed=fixed, others=())
        again = replace(again, rounded={}, weights={}, biases={}, reports=[])
        for node in block.nodes:
            _step(self.plan, node, self.recipe, again)
        weigh = 1.0 if importance is None else importance
        errors = [float((weigh * np.square(s.quantized[block.output] - target)).mean()) for s in (state, again)]
        if errors[1] < errors[0]:
            state.weights.update(again.weights)
            state.biases.update(again.biases)
            state.quantized[block.output] = again.quantized[block.output]
            reports = {r.name: r for r in again.reports}
            state.reports[:] = [reports.get(r.name, r) for r in state.reports]


def _taken(plan: Plan, t: str, node: Node, recipe: Recipe, state: _State) -> Array | None:
    """An input of a node in the quantized network, through its quantizer where it has one."""
    if (t, node.name) not in plan.edges:
        return constant_or(plan.graph, t, state.quantized)
    if (t, "") not in state.rounded:
        state.rounded[t, ""] = through(_quant(plan, t, recipe, state), state.quantized[t])
    return state.rounded[t, ""]


def through(quant: QuantParams, values: Array) -> Array:
    """Real numbers after a trip through a quantizer."""
    scheme = Scheme(int(quant.qmin), int(quant.qmax), quant.is_symmetric)
    return fake(values, (quant.scale, quant.zero_point), scheme)


def _quant(plan: Plan, t: str, recipe: Recipe, state: _State) -> QuantParams:
    """A tensor's quantizer, chosen when it is first asked for; all that share it get the same."""
    if t not in state.activations:
        same = sorted(plan.shared(t))
        known = {**state.samples, **state.quantized}
        held = [known[s] for s in same if s in known]
        values = np.concatenate([_picker(recipe)(a.reshape(-1)) for a in held])[None]
        chosen = activation_quant(plan, t, values, recipe.activations)
        state.activations.update(dict.fromkeys(same, chosen))
        for other, choices in state.others:
            alike = other.activation_bits(t) == plan.activation_bits(t)
            again = chosen if alike else activation_quant(other, t, values, recipe.activations)
            choices.activations.update(dict.fromkeys(same, again))
    return state.activations[t]


def _picker(recipe: Recipe) -> Callable[[Array], Array]:
    """What of a tensor's values decides its range: the extremes for min-max, those of batches for averages, else a sample."""
    if recipe.activations == "minmax":
        return _extremes
    batches = getattr(load("quantizers", recipe.activations), "BATCHES", 0)
    return partial(_extremes_of_parts, parts=batches) if batches else partial(_sampled, seed=recipe.seed)


def _sampled(values: Array, seed: int) -> Array:
    """At most 40,000 of some values, drawn at random."""
    return values if values.size <= SAMPLES else values[np.random.default_rng(seed).integers(0, values.size, SAMPLES)]


def _extremes_of_parts(values: Array, parts: int) -> Array:
    """Smallest and largest of consecutive parts, in order."""
    return np.concatenate([_extremes(part) for part in np.array_split(values, min(parts, values.size))])


def _extremes(values: Array) -> Array:
    return np.array([values.min(), values.max()])


def _shared_samples(plan: Plan, feeds: Mapping[str, Array], pick: Callable[[Array], Array], statistics: Statistics) -> dict[str, Array]:
    """What is picked of the float values of the tensors that share a quantizer with another."""
    wanted = {t for t, same in plan.sharing.items() if len(same) > 1}
    if not wanted:
        return {}
    samples: dict[str, Array] = {}

    def watch(name: str, values: Array) -> None:
        if name in wanted:
            samples[name] = pick(values.reshape(-1))

    forward(plan.graph, feeds, watch, statistics)
    return samples


def _report(node: Node, state: _State, weight_sqnr: float, output_sqnr: float) -> LayerReport:
    quant, values = state.activations[node.inputs[0]], state.quantized[node.inputs[0]]
    low = float((quant.qmin - quant.zero_point) * quant.scale)
    high = float((quant.qmax - quant.zero_point) * quant.scale)
    half = float(quant.scale) / 2
    clipped = float(((values < low - half) | (values > high + half)).mean())
    precision = f"w{state.weights[node.name].quant.bits}a{quant.bits}"
    return LayerReport(node.name, precision, (low, high), clipped, weight_sqnr, output_sqnr)


def sqnr_db(signal: Array, noisy: Array) -> float:
    """Signal power over the power of the difference, in dB."""
    power, noise = float(np.square(signal, dtype=np.float64).sum()), float(np.square(signal - noisy, dtype=np.float64).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(max(power, 1e-300) / noise))
