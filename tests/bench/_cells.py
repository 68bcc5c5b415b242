"""One cell of the accuracy tables: a network on a chip at some bits by a method, judged bit-true; kept, so that a run resumes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.pipeline.free_batch import free_batch
from hwsim.quantizing import quantize_for
from tests.bench._judge import Verdict, judge
from tests.bench._networks import Case, case

__all__ = ["Cell", "chip", "kept", "measure", "quantized"]

PLAIN = {"quantization.graph": "1", "quantization.weights.symmetric": "true"}
VARIANTS = {
    "per_channel": ("fbgemm_x86", PLAIN),
    "per_tensor": ("fbgemm_x86", {**PLAIN, "quantization.weights.granularity": "per_tensor"}),
    "power_of_two": (
        "fbgemm_x86",
        {**PLAIN, "quantization.weights.granularity": "per_tensor", "quantization.weights.power_of_two": "true"},
    ),
}


@dataclass(frozen=True)
class Cell:
    """`chip` is a preset, or one of VARIANTS: a plain chip of graph rule 1, on which everything but one thing is equal."""

    network: str
    chip: str = ""
    bits: str = ""
    method: str = ""
    rows: int = 0


def chip(name: str):  # type: ignore[no-untyped-def]
    """A preset, or a variant of one."""
    base, overrides = VARIANTS.get(name, (name, {}))
    return load_arch(base, overrides)


def quantized(cell: Cell, c: Case) -> SourceGraph:
    return quantize_for(chip(cell.chip), c.source, c.calibration, cell.bits, cell.method).network


def kept(cell: Cell, folder: Path) -> Verdict | None:
    """The verdict of a cell from the folder, None when it is not there."""
    file = _file(cell, folder)
    if not file.exists():
        return None
    held = np.load(file)
    return Verdict(held["hits"], held["answer"], str(held["metric"]))


def measure(cell: Cell, folder: Path) -> Verdict:
    """The verdict of a cell, from the folder where it was kept or newly measured."""
    found = kept(cell, folder)
    if found is not None:
        return found
    c = case(cell.network).first(cell.rows) if cell.rows else case(cell.network)
    found = judge(quantized(cell, c), c, chip(cell.chip)) if cell.chip else judge(free_batch(c.source), c)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{os.getpid()}.part.npz"
    np.savez_compressed(part, hits=found.hits, answer=found.answer.astype(np.int16), metric=found.metric)
    part.replace(_file(cell, folder))
    return found


def _file(cell: Cell, folder: Path) -> Path:
    name = f"{cell.network}-{cell.chip or 'float'}-{cell.bits}-{cell.method.replace(':', '_')}-{cell.rows or 'all'}"
    return folder / f"{name}.npz"
