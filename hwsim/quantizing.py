"""A float network quantized for a chip by a method, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.arch import Arch
from hwsim.encodings import Encodings
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.onnx_model import upgraded
from hwsim.pipeline.quantize import Outcome, quantize_network
from hwsim.pipeline.recipe import Recipe
from hwsim.pipeline.walk import Progress
from hwsim.precision import Precision
from hwsim.quant import Array

__all__ = ["for_opset", "layer_rows", "quantize_for", "read_precision"]

PER_CHANNEL, SAME, WRITTEN = 13, 18, 21  # opsets with a scale for each channel; as the newest but for formats; with 4 bits


def quantize_for(
    arch: Arch,
    source: SourceGraph,
    x: Array | None,
    bits: str | Precision = "w8a8",
    method: str | Recipe = "full",
    seed: int = 0,
    progress: Progress | None = None,
    also: Sequence[Precision] = (),
    given: Encodings | None = None,
) -> Outcome:
    """A float network as a QDQ network by the rules of a chip.

    `x` are calibration inputs, samples first (None: what batch normalization remembers of the training data); `bits` is a
    precision, in words or in a JSON file's name; `method` a recipe; `also` further precisions for which to choose what each layer
    stores; `given` encodings that are to stay.
    Raises HwsimError for what cannot be.
    """
    recipe = Recipe.parse(method) if isinstance(method, str) else method
    precision = read_precision(bits) if isinstance(bits, str) else bits
    inputs = None if x is None else x.astype(np.float32)
    source = for_opset(source, (precision, *also))
    return quantize_network(source, arch.quantization, precision, replace(recipe, seed=seed), inputs, progress, also, given)


def for_opset(source: SourceGraph, precisions: Sequence[Precision]) -> SourceGraph:
    """The network in an opset that can be written with these widths."""
    least = min(p.least for p in precisions)
    return upgraded(source, WRITTEN) if source.opset < (SAME if least < 8 else PER_CHANNEL) else source


def read_precision(text: str) -> Precision:
    """A precision in words, or from the JSON file of that name."""
    if not text.endswith(".json"):
        return Precision.parse(text)
    try:
        return Precision.from_json(Path(text).read_text("utf-8"))
    except OSError as e:
        raise HwsimError(text, "must be a readable JSON file", e.strerror) from None


def layer_rows(done: Outcome) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns and rows of what happened to each layer."""
    columns = ("layer", "precision", "input_low", "input_high", "clipped_%", "weight_sqnr_db", "output_sqnr_db", "dead_channels")
    rows = [
        [
            r.name,
            r.precision,
            f"{r.input_range[0]:.4g}",
            f"{r.input_range[1]:.4g}",
            f"{100 * r.clipped:.3f}",
            f"{r.weight_sqnr_db:.1f}",
            f"{r.output_sqnr_db:.1f}",
            done.dead.get(r.name, 0),
        ]
        for r in done.layers
    ]
    return columns, rows
