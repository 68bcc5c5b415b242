"""Layers of ResNet-18 in 4 and 8 bits on an NVIDIA T4: shapes left out of the fit one by one."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from hwsim.validation import Figure, Point, Tables, mean_error
from hwsim.validations._fits import by_precision, fitted, rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures"]

TITLE = "NVIDIA T4, HAWQ-V3's layers in int4 and int8"
KIND = "silicon"
SOURCE = "HAWQ-V3 (Yao et al. 2021), tuning log of ResNet-18 at batch 8, Zhen-Dong/HAWQ 1616df69fd (reports/validation/t4_layers.csv)"


def figures(tables: Tables) -> Iterator[Figure]:
    found = fitted("t4", rows_of(tables["t4_layers"]))
    yield mean_error(
        "int4 and int8 layers, leaving one shape out", found.left_out_points, 15, 9, "each kernel is tuned by itself: 9 % is their scatter"
    )
    eight, four = (by_precision(found, p) for p in ("w8a8", "w4a4"))
    ratios = [
        Point(b.label.replace(" w8a8", ""), b.measured / a.measured, b.predicted / a.predicted)
        for a, b in zip(sorted(four, key=lambda p: p.label), sorted(eight, key=lambda p: p.label), strict=True)
    ]
    error = 100 * median(abs(p.error) for p in ratios)
    yield Figure("int8 over int4, leaving one shape out", "% median absolute error", error, 15, 10, len(ratios), points=tuple(ratios))
