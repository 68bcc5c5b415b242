"""The whole pipeline: a float network and calibration inputs to a QDQ network by a chip's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwsim.arch import Rules
from hwsim.encodings import Encodings
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.pipeline.absorb_bias import absorb_biases
from hwsim.pipeline.align import Statistics
from hwsim.pipeline.constants import Layers
from hwsim.pipeline.dead_channels import remove_dead_channels
from hwsim.pipeline.equalize import equalize
from hwsim.pipeline.free_batch import free_batch
from hwsim.pipeline.given import check_given, encodings_of, unused, with_given_widths
from hwsim.pipeline.levels import needs_of
from hwsim.pipeline.recipe import Recipe
from hwsim.pipeline.smooth import smooth
from hwsim.pipeline.split_channels import split_channels
from hwsim.pipeline.statistics import batch_norm_statistics, noise
from hwsim.pipeline.walk import LayerReport, Progress, walk
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.plan_quantizers import Plan, plan_quantizers
from hwsim.steps.read import read
from hwsim.steps.write_qdq import Choices, write_qdq

__all__ = ["Outcome", "quantize_network"]

QUANTIZERS = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "Quant", "BipolarQuant")


@dataclass(frozen=True)
class Outcome:
    """A quantized network with what was done to get it.

    `prepared` is the float network that was rounded (folded, equalized and so on), `plan` where its quantizers are, `choices` what is
    stored: by the plan, and by each further precision.  `needs` is hardware that the weights ask for and the chip lacks.
    """

    network: SourceGraph
    prepared: SourceGraph
    plan: Plan
    choices: tuple[Choices, ...]
    recipe: Recipe
    dead: Mapping[str, int]
    layers: list[LayerReport]
    needs: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses the network should know."""
        narrow = any(t.format in ("int2", "uint2") for t in self.network.tensors.values())
        opens = "2-bit numbers open in ONNX Runtime up to 1.32 with its extended graph optimizations off" if narrow else ""
        left = unused(self.plan.given, self.plan)
        idle = f"encodings of tensors that this chip does not quantize: {', '.join(left)}" if left else ""
        return tuple(n for n in (self.needs, opens, idle) if n)

    @property
    def encodings(self) -> Encodings:
        """Scales and offsets of the quantized network by tensor."""
        return encodings_of(self.plan, self.choices[0])


def quantize_network(
    source: SourceGraph,
    rules: Rules,
    precision: Precision,
    recipe: Recipe,
    x: Array | None,
    progress: Progress | None = None,
    also: Sequence[Precision] = (),
    given: Encodings | None = None,
) -> Outcome:
    """Quantize a float network by a chip's rules on calibration inputs `x` (samples first).

    Without inputs the network runs on noise whose channels are given the mean and deviation that batch normalization remembers.
    `also` are further precisions for which to choose what each layer stores, in its place in the network of the first.  `given` are
    encodings that stay as they are, with their widths.

    Raises HwsimError for a network without layers to quantize, for more than one input, and for data that do not fit.
    """
    _check(source, rules, precision, recipe)
    if given is not None:
        check_given(given, source, recipe)
    statistics: Statistics = batch_norm_statistics(source) if x is None else {}
    x = noise(source, recipe.seed) if x is None else x
    prepared, dead, statistics = _prepared(source, rules, recipe, x, statistics)
    if recipe.split_outliers:
        prepared = split_channels(prepared, {prepared.inputs[0]: (1, *x.shape[1:])}, precision)
    graph = read(prepared, {prepared.inputs[0]: x.shape})
    plan = plan_quantizers(graph, rules, precision if given is None else with_given_widths(precision, graph, given), given)
    others = [(replace(plan, precision=p), Choices()) for p in also]
    choices, layers = walk(plan, {prepared.inputs[0]: x}, recipe, progress, others, statistics)
    stored = choices, *(c for _, c in others)
    return Outcome(write_qdq(prepared, plan, choices), prepared, plan, stored, recipe, dead, layers, needs_of(recipe))


def _check(source: SourceGraph, rules: Rules, precision: Precision, recipe: Recipe) -> None:
    """Raises HwsimError for what cannot be quantized, or not so."""
    if recipe.reestimate and (rules.weights.granularity != "per_channel" or rules.weights.power_of_two):
        raise HwsimError("--method", "bn must have a chip with one free scale for each channel, which takes up the new deviations")
    if len(source.inputs) != 1:
        raise HwsimError(source.name, "must have one input to be quantized", f"{len(source.inputs)} inputs")
    integers = any(n.kind.rpartition(".")[2] in QUANTIZERS for n in source.nodes)
    if integers or source.tensors[source.inputs[0]].quant is not None:
        raise HwsimError(source.name, "must be a float network", "one that is quantized already")
    if precision.least < 2:
        hint = "--method bwn for 1-bit weights, carried by 2 bits"
        raise HwsimError("--bits", "must be 2 or more: a whole number of 1 bit has no sign and no zero point", str(precision), hint)


def _prepared(
    source: SourceGraph, rules: Rules, recipe: Recipe, x: Array, statistics: Statistics
) -> tuple[SourceGraph, dict[str, int], Statistics]:
    """The float network after the stages that change no function, its dead channels by layer, and the statistics as they are then."""
    free = free_batch(source)
    folded = fold_batch_norm(free) if rules.batch_norm == "folded" else free
    feeds = {source.inputs[0]: x}
    layers = Layers.of(folded, {source.inputs[0]: (1, *x.shape[1:])}, statistics)
    dead = remove_dead_channels(layers) if recipe.remove_dead else {}
    if recipe.equalize:
        equalize(layers)
    if recipe.smooth:
        smooth(layers, feeds)
    if recipe.absorb_bias:
        absorb_biases(layers, feeds)
    return layers.written(), dead, layers.statistics
