"""HAWQ-V3's integer linear program for ResNet-18 with its published inputs, and the nine assignments that it published."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from hwsim.allocation import Allocation, Term
from hwsim.quant import Array
from hwsim.searches._scores import scores
from hwsim.shelf import load
from tests.data import shared

WIDTHS = (4, 8)
BUDGETS = [(kind, share) for kind in ("modelsize", "bops", "latency") for share in ("0.25", "0.5", "0.75")]


def rows() -> list[dict[str, str]]:
    with shared("peers/hawqv3_ilp_resnet18.csv").open() as file:
        return list(csv.DictReader(file))


def cost(row: dict[str, str], kind: str, bits: int) -> float:
    """Size in MB, BitOps, or measured milliseconds of one layer."""
    if kind == "modelsize":
        return float(row["parameters_M"]) * bits / 8
    return float(row["bops"]) / {4: 64, 8: 16}[bits] if kind == "bops" else float(row[f"latency_int{bits}"])


def problem(kind: str, share: str) -> tuple[Allocation, list[int]]:
    """The program, and for every layer the variable that decides it: a downsampling convolution is tied to the main path's.

    The objective is the sum of trace x (delta_w8_sq - delta_w4_sq) over layers kept at 8 bits.
    """
    layers = rows()
    leader = [min(i, int(r["tied_with"])) if r["tied_with"] else i for i, r in enumerate(layers)]
    variables = sorted(set(leader))
    values = np.zeros((len(variables), 2, 2))
    for row, first in zip(layers, leader, strict=True):
        v = variables.index(first)
        values[v, 0, 1] += float(row["hutchinson_trace"]) * (float(row["delta_w8_sq"]) - float(row["delta_w4_sq"]))
        values[v, 1] += [cost(row, kind, b) for b in WIDTHS]
    low, high = (sum(cost(r, kind, b) for r in layers) for b in WIDTHS)
    terms = tuple(Term((v,), values[v]) for v in range(len(variables)))
    limits = (np.inf, low + float(share) * (high - low))
    return Allocation((2,) * len(variables), ("loss", kind), terms, limits), [variables.index(i) for i in leader]


def published(kind: str, share: str) -> list[int]:
    return [int(r[f"{kind}_{share}"]) for r in rows()]


def every(variables: int) -> Array:
    return ((np.arange(1 << variables)[:, None] >> np.arange(variables)) & 1).astype(np.uint8)


@pytest.mark.parametrize(("kind", "share"), BUDGETS)
@pytest.mark.parametrize("strategy", ["exhaustive", "ilp", "pareto"])
def test_published_assignments(kind: str, share: str, strategy: str) -> None:
    found, layers = problem(kind, share)
    best = load("searches", strategy).search(found)[0]
    assert [WIDTHS[best[v]] for v in layers] == published(kind, share)


@pytest.mark.parametrize(("kind", "share"), BUDGETS)
def test_all_65536_assignments_agree(kind: str, share: str) -> None:
    found, layers = problem(kind, share)
    choices = every(len(found.options))
    assert len(choices) == 65536
    values: Any = scores(found, choices)
    legal = values[:, 1] <= found.limits[1]
    best = choices[legal][np.argmin(values[legal, 0])]
    assert [WIDTHS[best[v]] for v in layers] == published(kind, share)
