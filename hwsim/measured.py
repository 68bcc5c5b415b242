"""Measurements of chips, one row each, in the words of whoever published them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwsim.errors import HwsimError

__all__ = ["LAYER", "Measured", "measured_rows"]

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
JOULES = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9}
WORDS = {"int8": "w8a8", "uint8": "w8a8", "int16": "w16a16", "int4": "w4a4", "float16": "fp16", "float32": "fp32", "bfloat16": "bf16"}
COLUMNS = ("model", "precision", "value", "unit")
LAYER = ("channels", "outputs", "size", "kernel", "stride")
OPTIONAL = ("pad", "groups", "output_bits", "zeros", "output_zeros")


@dataclass(frozen=True)
class Measured:
    """One latency in seconds or energy in joules of one inference of a batch; `set` are fields of the chip under which it was taken.

    With `layer` it is the time of one convolution alone (square input and kernel; padding that keeps the size at stride 1 and sums that
    leave in 32 bits where nothing else is said), without the start of an inference; `mapping` is how it is known to be mapped.  With
    `tokens`, of a language model's prompt and of its answer, it is the time of a whole generation.
    """

    label: str
    network: str
    image: int | None
    precision: str
    batch: int
    figure: str
    value: float
    set: Mapping[str, str]
    layer: Mapping[str, float] | None = None
    mapping: Mapping[str, float] | None = None
    tokens: tuple[int, int] | None = None


def measured_rows(rows: Iterable[Mapping[str, str]], where: Mapping[str, str] | None = None) -> list[Measured]:
    """Rows with the columns model, precision, value and unit, and where there are such batch, metric, image, `set`
    (`clock.frequency=240 MHz; ...`) and, for a layer alone, channels, outputs, size, kernel and stride, and maybe pad, groups,
    output_bits, zeros, output_zeros (shares) and `given` (its mapping: `m=64; n=4; ...`); for a language model tokens_in and tokens_out.

    `where` keeps the rows whose columns start so.

    Raises HwsimError for a row that says something else.
    """
    found = []
    for number, row in enumerate(rows, 1):
        for column in (*COLUMNS, *(where or {})):
            if column not in row:
                raise HwsimError("measurements", f"must have the column '{column}'", ", ".join(row))
        if all(row[c].startswith(v) for c, v in (where or {}).items()):
            found.append(_measured(row, f"row {number}"))
    if not found:
        wanted = ", ".join(f"{k}={v}" for k, v in (where or {}).items())
        raise HwsimError("measurements", "must have at least one row" + (f" with {wanted}" if wanted else ""), "none")
    return found


def _measured(row: Mapping[str, str], where: str) -> Measured:
    model, image = _split(row["model"])
    batch = row.get("batch") or "1"
    if not batch.isdecimal() or not int(batch):
        raise HwsimError(where, "batch must be a whole number of 1 or more", repr(batch))
    tokens = (int(row["tokens_in"]), int(row["tokens_out"])) if row.get("tokens_out") else None
    figure, value = _figure(row, where, int(batch) * (tokens[1] if tokens else 1))
    precision = _precision(row["precision"])
    given = _pairs(row.get("set"))
    size = row.get("image") or (str(image) if image else "")
    shown = [v for k, v in given.items() if not k.startswith("memories")]
    label = " ".join(w for w in (row["model"].strip(), precision, f"b{batch}" if batch != "1" else "", *shown) if w)
    mapping = {k: float(v) for k, v in _pairs(row.get("given")).items()} or None
    return Measured(label, model, int(size) if size else None, precision, int(batch), figure, value, given, _layer(row), mapping, tokens)


def _pairs(text: str | None) -> dict[str, str]:
    """`a=1; b=2` as names and values."""
    return {k.strip(): v.strip() for k, _, v in (p.partition("=") for p in (text or "").split(";") if p.strip())}


def _layer(row: Mapping[str, str]) -> dict[str, float] | None:
    if not row.get("kernel"):
        return None
    return {k: int(row[k]) for k in LAYER} | {k: float(row[k]) for k in OPTIONAL if row.get(k)}


def _split(model: str) -> tuple[str, int | None]:
    """A network's name, and the input size behind its `@`."""
    name, at, rest = model.partition("@")
    size = re.match(r"\d+", rest.strip()) if at else None
    return name.strip(), int(size[0]) if size else None


def _precision(text: str) -> str:
    word = text.strip().split(" ")[0].lower()
    return WORDS.get(word, word)


def _figure(row: Mapping[str, str], where: str, made: int) -> tuple[str, float]:
    """Latency or energy of a whole batch, in seconds or joules; a throughput, of which it makes so many, is turned over."""
    unit, metric = row["unit"].strip(), row.get("metric", "")
    try:
        value = float(row["value"])
    except ValueError:
        raise HwsimError(where, "value must be a number", repr(row["value"])) from None
    if not value > 0:
        raise HwsimError(where, "value must be more than 0", row["value"])
    if unit in SECONDS:
        return "latency", value * SECONDS[unit]
    if unit in JOULES:
        return "energy", value * JOULES[unit]
    if unit.lower() in ("fps", "samples/s", "inferences/s", "tokens/s") or metric.startswith("throughput"):
        return "latency", made / value
    raise HwsimError(where, f"unit must be one of {', '.join((*SECONDS, *JOULES))} or fps", repr(unit))
