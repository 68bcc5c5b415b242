"""What can be drawn of a sweep's rows: numbers with their units, and the words that tell points apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import log2
from typing import Any

from hwsim.errors import HwsimError, suggest
from hwsim.units import Rate, parse, parse_duration, parse_rate

__all__ = ["MEASURES", "WORDS", "Measure", "known", "number_of", "of_metric", "scaled"]


@dataclass(frozen=True)
class Measure:
    """A number of a row: what axes call it, its unit, the SQL that gives it, and whether more of it is better."""

    title: str
    unit: str
    sql: str
    more: bool = False


MEASURES = {
    "weight_bits": Measure("weight bits", "", "weight_bits"),
    "activation_bits": Measure("activation bits", "", "activation_bits"),
    "latency": Measure("latency", "s", "latency_s"),
    "throughput": Measure("throughput", "inferences/s", "1 / latency_s", more=True),
    "energy": Measure("energy per inference", "J", "energy_j"),
    "power": Measure("average power", "W", "energy_j / latency_s"),
    "edp": Measure("energy-delay product", "J·s", "energy_j * latency_s"),
    "cycles": Measure("cycles", "", "cycles"),
    "size": Measure("weights", "B", "size_bytes"),
    "traffic": Measure("off-chip traffic", "B", "offchip_bytes"),
    "bitops": Measure("BitOps", "", "bitops"),
    "area": Measure("area of the chip", "mm²", "area_mm2"),
    "peak_memory": Measure("peak on-chip memory", "B", "peak_onchip_bytes"),
    "accuracy": Measure("accuracy", "", "accuracy", more=True),
    "seconds": Measure("time to evaluate", "s", "seconds"),
}
WORDS = ("arch", "model", "method", "precision", "data", "version")
_METRICS = {"top1": "top-1 accuracy", "top5": "top-5 accuracy", "dice": "Dice coefficient", "iou": "intersection over union"}
_PREFIXES = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12}
_READERS: tuple[Callable[[str], Any], ...] = (
    float,
    *(partial(parse, dimension=d) for d in ("size", "frequency", "energy", "energy_per_bit", "power", "voltage", "length")),
    parse_duration,
    partial(parse_rate, thing="bits"),
    partial(parse_rate, thing="count"),
)


def of_metric(measure: Measure, metrics: set[str]) -> Measure:
    """Accuracy by its own name.  Raises HwsimError where points were scored by different metrics."""
    if len(metrics) > 1:
        raise HwsimError("accuracy", "must be of one metric", ", ".join(sorted(metrics)), f"add --where metric={min(metrics)}")
    metric = next(iter(metrics), "")
    if metric.startswith("top"):
        return replace(measure, title=_METRICS[metric], unit="%", sql=f"100 * {measure.sql}")
    return replace(measure, title=_METRICS.get(metric, metric or measure.title), more=metric != "mse")


def scaled(measure: Measure, values: Iterable[float]) -> tuple[float, str]:
    """By what values are divided, and the label of their axis: `energy per inference [µJ]`."""
    largest = max((abs(v) for v in values), default=0.0)
    if measure.unit == "B":
        step = min(int(log2(largest) // 10), 4) if largest >= 1 else 0
        return 1024.0**step, f"{measure.title} [{('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}]"
    if measure.unit in ("", "%", "inferences/s", "mm²") or largest == 0:
        return 1.0, measure.title + (f" [{measure.unit}]" if measure.unit else "")
    prefix = next((p for p, scale in _PREFIXES.items() if largest >= scale), "p")
    return _PREFIXES[prefix], f"{measure.title} [{prefix}{measure.unit}]"


def number_of(text: str) -> float | None:
    """The size of a chip field's value, whatever its unit; None for words."""
    for read in _READERS:
        with suppress(HwsimError, ValueError):
            value = read(text)
            return float(value.amount if isinstance(value, Rate) else value)
    return None


def known(option: str, name: str, names: Sequence[str]) -> str:
    """The name, when it is one of these.  Raises HwsimError."""
    if name not in names:
        raise HwsimError(option, f"must be one of {', '.join(names)}", repr(name), suggest(name, names))
    return name
