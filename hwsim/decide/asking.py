"""Questions made of files: what the command line and the front door ask of a sensitivity analysis or a search."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from hwsim.arch import Arch
from hwsim.axes import split_bits
from hwsim.decide.study import Question
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.dataset import Dataset, load_dataset
from hwsim.io.model import read_model

__all__ = ["CALIBRATES", "ask", "files_of", "kept_in", "question_of", "varied"]

CALIBRATES = 128  # samples of the data that calibrate where nothing else is given; they are not judged on


def ask(
    arch: Arch,
    model: Path,
    data: Path,
    calibration: Path | None,
    bits: str,
    method: str,
    metric: str = "",
    seed: int = 0,
    samples: int | None = None,
) -> Question:
    """The question of files.  Raises HwsimError for what is wrong with them."""
    weight_bits, activation_bits = split_bits("--bits", bits)
    limit = None if samples is None else samples + (0 if calibration else CALIBRATES)
    return question_of(arch, read_model(model), *files_of(data, calibration, limit), weight_bits, activation_bits, method, metric, seed)


def files_of(data: str | Path, calibration: str | Path | None, limit: int | None = None) -> tuple[Dataset, Dataset | None]:
    """The data to judge on, and the inputs to calibrate with if they are given."""
    return load_dataset(data, limit), None if calibration is None else load_dataset(calibration, labels=False)


def question_of(
    arch: Arch,
    source: SourceGraph,
    data: Dataset,
    calibration: Dataset | None,
    weight_bits: Sequence[int],
    activation_bits: Sequence[int],
    method: str,
    metric: str = "",
    seed: int = 0,
) -> Question:
    """A question on data; without calibration inputs the first samples of the data calibrate, and the others judge."""
    x, y = data.x, data.y
    if calibration is None:
        if len(x) <= CALIBRATES:
            must = f"must have more than the {CALIBRATES} samples that calibrate"
            raise HwsimError(f"data '{data.name}'", must, len(x), "or give other inputs with --calibration")
        seen, x, y = x[:CALIBRATES], x[CALIBRATES:], y[CALIBRATES:]
    else:
        seen = calibration.x
    widths = tuple(sorted(set(weight_bits))), tuple(sorted(set(activation_bits)))
    return Question(arch, source, np.asarray(seen), np.asarray(x), np.asarray(y), *widths, method, metric, seed)


def kept_in(path: Path | None) -> Path:
    """Where results are kept by content: a file, or the one in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return path or Path(os.environ.get("HWSIM_CACHE") or Path(cache) / "hwsim") / "results.db"


def varied(axes: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every combination of values of a chip's fields; nothing where nothing varies."""
    if axes:
        yield from (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))
