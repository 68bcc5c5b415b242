"""HAQ's latency table: MobileNetV2 of 100 classes, batch 16, every layer at 1 to 8 bits of weights and of activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from hwsim.io.arch_yaml import load_arch
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.validation import Figure, Point, Tables, mean_error, missing, rank_correlation
from hwsim.validations._layers import classic_layers

TITLE = "HAQ's latency table"
KIND = "simulator"
SOURCE = "mit-han-lab/haq lib/simulator/lookup_tables/qmobilenetv2_imagenet100_batch16_latency_table.npy (weights, activations)"

CELLS, TOTALS, RANKS = (
    "all cells, 53 layers x 8 x 8 bits",
    "totals of 1000 random policies of 2 to 8 bits",
    "rank correlation over all cells",
)
TABLE = "haq_bitfusion_mobilenetv2_lut"
BITS = range(1, 9)
Cells = Mapping[tuple[int, int, int], float]


def figures(tables: Tables) -> Iterator[Figure]:
    rows = tables.peer(TABLE)
    if rows is None:
        why = f"needs the peer table {TABLE}.csv (give its folder with --peers)"
        yield missing(CELLS, "% mean absolute error", 10, 3.5, why)
        yield missing(TOTALS, "% mean absolute error", 5, 2, why)
        yield missing(RANKS, "rank correlation", 0.99, 0.999, why, "high")
        return
    theirs = {(int(r["layer_idx"]), int(r["dim1_bits"]), int(r["dim2_bits"])): float(r["cost"]) for r in rows}
    shapes = classic_layers(tables["mobilenetv2_layers"])
    ours = _cells([replace(s, batch=16, outputs=100 if s.kernel is None else s.outputs) for s in shapes])
    cells = [Point(f"{shapes[i].name} w{w}a{a}", theirs[i, w, a], ours[i, w, a]) for i, w, a in theirs]
    yield mean_error(CELLS, cells, 10, 3.5)
    yield mean_error(TOTALS, _policies(theirs, ours, len(shapes)), 5, 2)
    yield rank_correlation(RANKS, cells, 0.99, 0.999)


def _cells(shapes: Sequence[LayerShape]) -> Cells:
    """Cycles of every layer at every pair of widths."""
    arch, found = load_arch("haq_bit_serial"), {}
    for w, a in product(BITS, BITS):
        layers = [replace(s, weight_bits=w, activation_bits=a) for s in shapes]
        for i, cost in enumerate(price(arch, lower(network("mobilenet_v2", layers), arch)).layers):
            found[i, w, a] = float(cost.total_cycles)
    return found


def _policies(theirs: Cells, ours: Cells, layers: int) -> Iterator[Point]:
    rng = np.random.default_rng(0)
    for n in range(1000):
        policy = [(i, int(w), int(a)) for i, (w, a) in enumerate(rng.integers(2, 9, (layers, 2)))]
        yield Point(f"policy {n}", sum(theirs[c] for c in policy), sum(ours[c] for c in policy))
