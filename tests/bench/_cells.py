"""One cell of the accuracy tables: a network on a chip at some bits by a method, judged bit-true; kept, so that a run resumes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.pipeline.free_batch import free_batch
from hwsim.quantizing import quantize_for
from tests.bench._judge import Verdict, judge
from tests.bench._networks import Case, case

__all__ = ["FLOAT", "Cell", "chip", "measure", "quantized"]

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pipeline", "quantizers", "arithmetics", "ops", "steps")
VARIANTS = {
    "per_channel": ("acl_ascend310", {"quantization.weights.symmetric": "true"}),
    "per_tensor": ("acl_ascend310", {"quantization.weights.symmetric": "true", "quantization.weights.granularity": "per_tensor"}),
}


@dataclass(frozen=True)
class Cell:
    """`chip` is a preset, or one of VARIANTS: the plain graph-1 chip that method comparisons are made on."""

    network: str
    chip: str = ""
    bits: str = ""
    method: str = ""
    rows: int = 0


FLOAT = Cell("")


def chip(name: str):  # type: ignore[no-untyped-def]
    """A preset, or a variant of one."""
    base, overrides = VARIANTS.get(name, (name, {}))
    return load_arch(base, overrides)


def quantized(cell: Cell, c: Case) -> SourceGraph:
    return quantize_for(chip(cell.chip), c.source, c.calibration, cell.bits, cell.method).network


def measure(cell: Cell, folder: Path) -> Verdict:
    """The verdict of a cell, from the folder where it was kept or newly measured."""
    file = folder / f"{_key(cell)}.npz"
    if file.exists():
        held = np.load(file)
        return Verdict(held["hits"], held["answer"], str(held["metric"]))
    c = case(cell.network).first(cell.rows) if cell.rows else case(cell.network)
    found = judge(quantized(cell, c), c, chip(cell.chip)) if cell.chip else judge(free_batch(c.source), c)
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(part, hits=found.hits, answer=found.answer.astype(np.int16), metric=found.metric)
    part.replace(file)
    return found


def _key(cell: Cell) -> str:
    """Of the cell and of the sources that decide it."""
    digest = hashlib.sha256(repr(astuple(cell)).encode())
    for part in SOURCES:
        for file in sorted((ROOT / "hwsim" / part).glob("*.py")) if cell.chip else ():
            digest.update(file.read_bytes())
    return f"{cell.network}-{cell.chip}-{cell.bits}-{digest.hexdigest()[:16]}"
