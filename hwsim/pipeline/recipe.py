"""What a quantization run does: stages and quantizers by name, printed and parsed as `dead+cle+mse+adaround+bias`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hwsim.errors import HwsimError, suggest
from hwsim.shelf import load, names

__all__ = ["METHODS", "STAGES", "Recipe"]

STAGES = {
    "dead": "remove_dead",
    "cle": "equalize",
    "smooth": "smooth",
    "absorb": "absorb_bias",
    "ocs": "split_outliers",
    "brecq": "reconstruct_blocks",
    "qdrop": "drop_quantizers",
    "bias": "correct_bias",
    "bn": "reestimate",
}
BEFORE = ("dead", "cle", "smooth", "absorb", "ocs")  # those that change the float network


@dataclass(frozen=True)
class Recipe:
    """Stages that run, and the quantizers of weight ranges, activation ranges and rounding (files of quantizers/)."""

    weights: str = "minmax"
    activations: str = "minmax"
    rounding: str = "nearest"
    remove_dead: bool = False
    equalize: bool = False
    smooth: bool = False
    absorb_bias: bool = False
    split_outliers: bool = False
    reconstruct_blocks: bool = False
    drop_quantizers: bool = False
    correct_bias: bool = False
    reestimate: bool = False
    seed: int = field(default=0, compare=False)

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """A recipe by its parts, joined by `+`.

        Parts are names of METHODS, stages (dead, cle, smooth, absorb, ocs, brecq, qdrop, bias, bn), one quantizer of ranges (`act:name`
        for one of activations alone) or of levels of weights, one of rounding.  Raises HwsimError for an unknown part.
        """
        found = cls()
        for part in "+".join(METHODS.get(p, p) for p in text.split("+")).split("+"):
            name = part.removeprefix("act:")
            if part in STAGES:
                found = _with_stage(found, STAGES[part])
            elif name not in names("quantizers"):
                known = (*METHODS, *STAGES, *names("quantizers"))
                raise HwsimError("--method", f"must be made of {', '.join(known)}", repr(part), suggest(part, known))
            elif hasattr(load("quantizers", name), "fit"):
                found = replace(found, activations=name) if name != part else replace(found, weights=name, activations=name)
            elif hasattr(load("quantizers", name), "approximate"):
                found = replace(found, weights=name)
            else:
                found = replace(found, rounding=name)
        return found

    def __str__(self) -> str:
        stages = [part for part, name in STAGES.items() if getattr(self, name)]
        ranges = [self.weights] + ([f"act:{self.activations}"] if self.activations != self.weights else [])
        return "+".join([*self.before, *ranges, self.rounding, *(s for s in stages if s not in BEFORE)])

    @property
    def reconstructs(self) -> bool:
        """Whether rounding is learned block by block behind rounding layer by layer."""
        return self.reconstruct_blocks or self.drop_quantizers

    @property
    def before(self) -> tuple[str, ...]:
        """The stages that change the float network before its ranges are set."""
        return tuple(s for s in BEFORE if getattr(self, STAGES[s]))


def _with_stage(recipe: Recipe, name: str) -> Recipe:
    stage: dict[str, Any] = {name: True}
    return replace(recipe, **stage)


METHODS = {
    "dfq": "dead+cle+absorb+minmax+bias",
    "full": "dead+cle+mse+adaround+bias",
    "smoothed": "dead+smooth+mse+coordinate_descent+bias",  # for chips with a scale per channel, and few bits of activations
}
