"""What verbs share: options, the exit codes, and how an option's text becomes a chip, a network or data."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.errors import HwsimError, suggest

if TYPE_CHECKING:
    from hwsim.arch import Arch
    from hwsim.graph import Graph

OK, FINDING, USAGE, BUG = 0, 1, 2, 101


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


ArchOption = Annotated[str, typer.Option("--arch", help="a chip: a preset's name (see `hwsim archs`) or a YAML file")]
ModelOption = Annotated[Path, typer.Option("--model", help="an ONNX or TFLite file")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="override a field of the chip: memories.vtcm.size=4MiB")]
ShapeOption = Annotated[list[str] | None, typer.Option("--shape", help="an input's shape where the file leaves it open: input=1x3x224x224")]
FormatOption = Annotated[Format, typer.Option("--format", help="form of the output")]
QdqOption = Annotated[str, typer.Option("--qdq", help="integer: quantizers absorbed into operators; literal: computed as written")]
MapperOption = Annotated[str, typer.Option("--mapper", help="how tiles are chosen (see `hwsim list mappers`); left out: as the chip says")]
ObjectiveOption = Annotated[str, typer.Option("--objective", help="what the mapping is chosen for: latency, energy or edp")]
FidelityOption = Annotated[str, typer.Option("--fidelity", help="analytical: units' work added up; event: played tile by tile")]
ContentionOption = Annotated[
    bool, typer.Option("--contention/--no-contention", help="with --fidelity event: whether units wait for tiles, buffers, banks and rows")
]
EngineOption = Annotated[str, typer.Option("--engine", help="numba (compiled) or reference (NumPy)")]


def print_rows(columns: Any, rows: Any, format: Format) -> None:
    import json

    from hwsim.io.text import print_table, to_csv

    if format is Format.json:
        print(json.dumps([dict(zip(columns, r, strict=True)) for r in rows], indent=1))
    elif format is Format.csv:
        sys.stdout.write(to_csv(columns, rows))
    else:
        print_table(columns, rows)


def chip_of(name: str, overrides: list[str] | None) -> Arch:
    from hwsim.io.arch_yaml import load_arch

    pairs: dict[str, str] = {}
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HwsimError("--set", "must be field=value such as memories.vtcm.size=4MiB", repr(text))
        if key in pairs:
            raise HwsimError("--set", f"must set '{key}' once", f"to '{pairs[key]}' and '{value}'")
        pairs[key] = value
    return load_arch(name, pairs)


def pairs(option: str, texts: list[str] | None, example: str, form: str = "column=beginning") -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HwsimError(option, f"must be {form} such as {example}", repr(text))
        pairs[key] = value
    return pairs


def dataset_of(path: Path | None, samples: int | None, labels: bool = True) -> Any:
    from hwsim.io.dataset import load_dataset

    return None if path is None else load_dataset(path, samples, labels)


def graph_of(model: Path, shapes: list[str] | None, qdq: str, data: Any) -> Graph:
    from hwsim import load_model

    given = {}
    for text in shapes or []:
        name, equals, dims = text.rpartition("=")
        if not equals or not name or not all(d.isdecimal() and len(d) < 20 and int(d) for d in dims.split("x")):
            raise HwsimError("--shape", "must be an input's name and sizes of 1 or more such as x=1x3x224x224", repr(text))
        if name in given:
            raise HwsimError("--shape", f"must shape '{name}' once", "twice")
        given[name] = tuple(int(d) for d in dims.split("x"))
    graph = load_model(model, shapes=given, qdq=qdq, sample_shape=None if data is None else data.x.shape[1:])
    if not graph.inputs or not graph.tensors[graph.inputs[0]].shape:
        raise HwsimError(model, "must have an input with samples along its first axis", "a scalar" if graph.inputs else "constants alone")
    return graph


def among(option: str, word: str | None, known: Iterable[str]) -> None:
    if word is not None and word not in known:
        raise HwsimError(option, f"must be one of {', '.join(known)}", repr(word), suggest(word, known))


def needs_data(data: Path | None, options: dict[str, Any]) -> None:
    """Options that mean nothing without data are refused without it."""
    given = [k for k, v in options.items() if v is not None]
    if data is None and given:
        raise HwsimError(given[0], "must come with --data", "alone")


def executor_of(scheduler: str | None, workers: int) -> Any:
    """Worker processes of Dask, or none: everything runs here."""
    from contextlib import nullcontext

    if scheduler is None and not workers:
        return nullcontext()
    from hwsim.io.cluster import cluster

    return cluster(scheduler, workers)


def progress_of(text: str) -> Any:
    from hwsim.io.progress import progress

    return progress(text)
