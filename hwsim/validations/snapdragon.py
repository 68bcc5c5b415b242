"""Hexagon processors of three Snapdragon chips under Qualcomm AI Hub: networks left out of the fit one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hwsim.validation import Figure, Point, Tables, mean_error, rank_correlation
from hwsim.validations._fits import by_precision, fitted, rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures"]

TITLE = "Snapdragon neural processors (Hexagon V68, V73, V75)"
KIND = "silicon"
SOURCE = "Qualcomm AI Hub, ai-hub-models b61a009028, perf.yaml of each network (reports/validation/snapdragon.csv)"
NOTE = "six networks; priors from data sheets and instruction counts, no number of a single network"


def figures(tables: Tables) -> Iterator[Figure]:
    large, precisions = ("hexagon_v73", "hexagon_v75"), ("fp16", "w8a8")
    found = {arch: _left_out(tables, arch, precisions) for arch in large}
    fp16, int8 = (found[large[0]][p] + found[large[1]][p] for p in precisions)
    small = _left_out(tables, "hexagon_v68", ("w8a8",))["w8a8"]
    yield mean_error("V73 and V75 fp16, leaving one network out", fp16, 15, 6, NOTE)
    yield mean_error("V73 and V75 w8a8, leaving one network out", int8, 28, 13, NOTE)
    yield mean_error("QCS6490 (V68) w8a8, leaving one network out", small, 28, 20, "five networks")
    for name, points in (("V73 and V75 fp16", fp16), ("V73 and V75 w8a8", int8), ("QCS6490 (V68) w8a8", small)):
        yield rank_correlation(f"{name}, left-out predictions", points, 0.95, 0.98)


def _left_out(tables: Tables, arch: str, precisions: Sequence[str]) -> dict[str, list[Point]]:
    """Left-out predictions by precision, of a fit to all of them together."""
    rows = [r for p in precisions for r in rows_of(tables["snapdragon"], arch=arch, precision=p)]
    found = fitted(arch, rows)
    return {p: [replace(q, label=f"{arch} {q.label}") for q in by_precision(found, p)] for p in precisions}
