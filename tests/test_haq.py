"""HAQ's published table of latencies (MobileNetV2, 53 layers x 8 x 8 bits): its totals, and every search on it."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
import pytest

from hwsim.allocation import Allocation, Term
from hwsim.quant import Array
from hwsim.searches._scores import scores
from hwsim.shelf import load
from tests.data import shared

HAQ_POLICY = 0.5914  # what HAQ's own policy costs, of 8 bits
BUDGET = 0.6
LOWEST = 2  # bits; HAQ's search goes from 2 to 8


@cache
def latencies() -> Array:
    """cycles[layer, weight bits - 1, activation bits - 1]."""
    table = np.zeros((53, 8, 8))
    with shared("silicon/haq_bitfusion_mobilenetv2_lut.csv").open() as file:
        for r in csv.DictReader(file):
            table[int(r["layer_idx"]), int(r["dim1_bits"]) - 1, int(r["dim2_bits"]) - 1] = float(r["cost"])
    return table


@cache
def problem(share: float) -> Allocation:
    """Weights and activations of each layer; the loss is quantization noise, 4^-bits, weighted by how much a layer does at 8 bits.

    The first and the last layer are kept at 8 bits, as HAQ's are.
    """
    table = latencies()
    weight = np.sqrt(table[:, 7, 7] / table[:, 7, 7].max())
    terms, features, options = [], [], []
    for i, cell in enumerate(table):
        bits = np.arange(8 if i in (0, 52) else LOWEST, 9)
        noise = 4.0**-bits
        loss = weight[i] * (noise[:, None] + 0.5 * noise[None, :])
        terms.append(Term((2 * i, 2 * i + 1), np.stack([loss, cell[np.ix_(bits - 1, bits - 1)]])))
        features += [[weight[i], 0.0], [weight[i], 1.0]]
        options += [len(bits)] * 2
    limit = share * table[:, 7, 7].sum()
    return Allocation(tuple(options), ("loss", "cycles"), tuple(terms), (np.inf, limit), features=np.array(features))


def test_totals_of_uniform_widths() -> None:
    table = latencies()
    totals = [3433704, 7063425, 11103578, 15716150, 20916896, 26653434, 32886714, 39624933]
    assert [table[:, b, b].sum() for b in range(8)] == totals
    assert (table[:, 3, 7].sum(), table[:, 7, 3].sum()) == (31232558, 20044617)


def test_bits_of_activations_count_on_depthwise_layers_and_bits_of_weights_on_the_last() -> None:
    table = latencies()
    assert table[1, 7, 7] / table[1, 7, 3] > 1.8 and table[1, 7, 7] / table[1, 3, 7] < 1.1
    assert table[52, 7, 7] / table[52, 3, 7] > 1.9 and table[52, 7, 7] / table[52, 7, 3] < 1.1


@pytest.mark.parametrize("strategy", ["ilp", "evolution", "greedy", "random", pytest.param("reinforcement", marks=pytest.mark.slow)])
def test_every_search_is_as_cheap_as_the_published_policy(strategy: str) -> None:
    """At the cost of HAQ's own policy, inside its budget of 0.6: no loss is below that of the exact searches."""
    for library in {"evolution": ["pymoo"], "reinforcement": ["torch"]}.get(strategy, []):
        pytest.importorskip(library)
    now = problem(HAQ_POLICY)
    found = load("searches", strategy).search(now)[0]
    got, exact = scores(now, np.stack([found, load("searches", "ilp").search(now)[0]]))
    total = latencies()[:, 7, 7].sum()
    assert got[1] <= HAQ_POLICY * total < BUDGET * total
    assert got[0] == pytest.approx(exact[0], rel=1e-9) if load("searches", strategy).EXACT else got[0] >= exact[0]
