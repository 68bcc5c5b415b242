"""Weights on levels that are not a chip's own, such as ternary or powers of two, carried by its integers."""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np

from hwsim import formats
from hwsim.arithmetics._rounding import exact_power_of_two
from hwsim.errors import HwsimError
from hwsim.graph import Node
from hwsim.pipeline.recipe import Recipe
from hwsim.quant import Array, QuantParams
from hwsim.quantizers._levels import Approximation
from hwsim.quantizers.ocs import NEEDS
from hwsim.shelf import load
from hwsim.steps.plan_quantizers import Plan
from hwsim.steps.quantize import layer_axis

__all__ = ["needs_of", "on_levels"]

WIDTHS = (2, 4, 8, 16)
AGAIN = 8  # bits on which levels without a common unit are rounded again


def needs_of(recipe: Recipe) -> str:
    """What hardware a recipe's weights ask for, and how the chip carries them instead; empty for plain integers."""
    needs = getattr(load("quantizers", recipe.weights), "NEEDS", "")
    levels = f"{recipe.weights} needs {needs}; carried by the chip's integers, and priced as those" if needs else ""
    splits = f"ocs needs {NEEDS}; written into the network, and priced as its operators" if recipe.split_outliers else ""
    return "; ".join(n for n in (levels, splits) if n)


def on_levels(plan: Plan, node: Node, w: Array, flat: Array, recipe: Recipe) -> tuple[Array, Array, QuantParams]:
    """Stored numbers counted from the zero point and their scale, by rows of `w`, and the quantization parameters.

    Multiples of a unit are exact on the narrowest integers that hold them; levels without one are rounded to 8 bits again.
    Layers that must be wider than asked (the first and last) are plain min-max.  Raises HwsimError when the chip's integers are
    too narrow, or its scales must be powers of two and the quantizer's are not.
    """
    grid, widest = plan.rules.weights, max(formats.get(f).bits for f in plan.rules.weights.formats)
    asked, bits = plan.precision.of(node.name)[0], plan.weight_bits(node.name)
    values, unit = flat, None
    if bits == asked:
        found = _approximation(recipe.weights, node, flat, bits)
        values, unit = found.values, found.unit
    again = bits if bits != asked else AGAIN
    largest = np.maximum(np.abs(values).max(-1, keepdims=True), 1e-30)
    scale = np.asarray(largest / (2 ** (again - 1) - 1) if unit is None else unit, np.float32).astype(np.float64)
    u = np.rint(values / scale)
    width = max(again if unit is None else 0, _width(u, node))
    if width > widest:
        needs = getattr(load("quantizers", recipe.weights), "NEEDS", "")
        raise HwsimError(node.where, f"weights by {recipe.weights} must have {needs}, or {width}-bit weights", f"{widest} bits")
    if grid.power_of_two and not exact_power_of_two(scale.astype(np.float32)):
        raise HwsimError(node.where, f"scales must be powers of two on this chip, and those of {recipe.weights} are not")
    fmt, axis = plan.format(grid, width), layer_axis(plan, node)
    zero = np.full(scale.shape, 0 if fmt.is_signed else 2 ** (width - 1), np.int64)
    shape = () if axis is None else (-1,)
    quant = QuantParams(fmt, scale.astype(np.float32).reshape(shape), zero.reshape(shape), axis)
    return u.reshape(w.shape), scale.reshape((1, 1, 1) if axis is None else (*w.shape[:2], 1)), quant


def _approximation(quantizer: str, node: Node, flat: Array, bits: int) -> Approximation:
    """By a quantizer; one that looks at kernels is told how many positions they have."""
    module = load("quantizers", quantizer)
    kernel = prod(node.attrs["kernel"]) if node.op == "conv" else 1
    found = module.approximate(flat, bits, kernel) if getattr(module, "BY_KERNEL", False) else module.approximate(flat, bits)
    return cast("Approximation", found)


def _width(u: Array, node: Node) -> int:
    """The narrowest width that holds whole numbers on both sides of 0."""
    largest = int(np.abs(u).max(initial=0))
    found = [b for b in WIDTHS if largest <= 2 ** (b - 1) - 1]
    if not found:
        raise HwsimError(node.where, "levels must be multiples of a unit that 16 bits hold", f"{largest} of them")
    return found[0]
