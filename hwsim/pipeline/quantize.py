"""The whole pipeline: a float network and calibration inputs to a QDQ network by a chip's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwsim.arch import Rules
from hwsim.graph import SourceGraph
from hwsim.pipeline.dead_channels import remove_dead_channels
from hwsim.pipeline.equalize import equalize
from hwsim.pipeline.free_batch import free_batch
from hwsim.pipeline.levels import needs_of
from hwsim.pipeline.recipe import Recipe
from hwsim.pipeline.smooth import smooth
from hwsim.pipeline.walk import LayerReport, Progress, walk
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.plan_quantizers import Plan, plan_quantizers
from hwsim.steps.read import read
from hwsim.steps.write_qdq import Choices, write_qdq

__all__ = ["Outcome", "quantize_network"]


@dataclass(frozen=True)
class Outcome:
    """A quantized network with what was done to get it.

    `prepared` is the float network that was rounded, `plan` where its quantizers are, `choices` what is stored: by the plan, and by
    each further precision.  `needs` is hardware that the weights ask for and the chip lacks.
    """

    network: SourceGraph
    prepared: SourceGraph
    plan: Plan
    choices: tuple[Choices, ...]
    recipe: Recipe
    dead: Mapping[str, int]
    layers: list[LayerReport]
    needs: str = ""


def quantize_network(
    source: SourceGraph,
    rules: Rules,
    precision: Precision,
    recipe: Recipe,
    x: Array,
    progress: Progress | None = None,
    also: Sequence[Precision] = (),
) -> Outcome:
    """Quantize a float network by a chip's rules on calibration inputs `x` (samples first).

    `also` are further precisions for which to choose what each layer stores, in its place in the network of the first.

    Raises HwsimError for a network without layers to quantize, for more than one input, and for data that do not fit.
    """
    source = fold_batch_norm(free_batch(source))
    shapes = {source.inputs[0]: x.shape}
    dead: dict[str, int] = {}
    if recipe.remove_dead:
        source, dead = remove_dead_channels(source, {source.inputs[0]: (1, *x.shape[1:])})
    if recipe.equalize:
        source = equalize(source, {source.inputs[0]: (1, *x.shape[1:])})
    if recipe.smooth:
        source = smooth(source, {source.inputs[0]: x})
    plan = plan_quantizers(read(source, shapes), rules, precision)
    others = [(replace(plan, precision=p), Choices()) for p in also]
    choices, layers = walk(plan, {source.inputs[0]: x}, recipe, progress, others)
    stored = choices, *(c for _, c in others)
    return Outcome(write_qdq(source, plan, choices), source, plan, stored, recipe, dead, layers, needs_of(recipe))
