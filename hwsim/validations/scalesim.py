"""SCALE-Sim 3.0: systolic arrays in three dataflows, to the cycle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from hwsim.cost import LayerCost
from hwsim.io.arch_yaml import load_arch
from hwsim.io.scalesim_runs import has_scalesim, run_scalesim
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.validation import Figure, Point, Row, Tables, equal, missing, without_table
from hwsim.validations._layers import classic_layers

TITLE = "SCALE-Sim 3.0"
KIND = "simulator"
SOURCE = "scalesim 3.0.0 (CALC mode): its closed form over ResNet-18 and MobileNetV2, and recorded runs of odd layers and arrays"

DATAFLOWS = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
CLOSED = "total cycles: 74 layers x 6 arrays x 3 dataflows"
RUN = "SCALE-Sim itself run on 20 more layers and arrays: the same numbers"
RUNS, SEED = 20, 2026
RECORDED = "recorded runs: total cycles, three SRAM counts, utilisation, mapping efficiency"
DEFECT = (
    "SCALE-Sim adds rows + columns per fold to the output writes of output-stationary arrays (systolic_compute_os.py); "
    "ours are given that defect for this comparison alone"
)


def costs(rows: int, columns: int, dataflow: str, layers: Sequence[LayerShape]) -> dict[str, LayerCost]:
    """Each layer's cost on an array."""
    shape = {"arrays.systolic.unroll": f"[{{rows: {rows}, columns: {columns}}}]", "arrays.systolic.dataflow": DATAFLOWS[dataflow]}
    arch = load_arch("systolic_128x128", shape)
    return {c.name: c for c in price(arch, lower(network("layers", layers), arch)).layers}


def figures(tables: Tables) -> Iterator[Figure]:
    closed, random = tables.peer("scalesim_closed_form_all"), tables.peer("scalesim_random")
    yield equal(CLOSED, _closed(tables, closed)) if closed else without_table(CLOSED, "scalesim_closed_form_all")
    yield equal(RECORDED, recorded_rows(random), DEFECT) if random else without_table(RECORDED, "scalesim_random")
    why = "needs SCALE-Sim (pip install 'hwsim[scalesim]')"
    yield equal(RUN, recorded_rows(_run()), DEFECT) if has_scalesim() else missing(RUN, "rows that differ", 0, 0, why)


def _run() -> list[Row]:
    """Odd layers and arrays, each run by SCALE-Sim here and now."""
    rng = np.random.default_rng(SEED)
    found: list[Row] = []
    for i in range(RUNS):
        kernel, stride = (int(v) for v in rng.integers(1, 6, 2)), int(rng.integers(1, 4))
        kh, kw = kernel
        rows, columns, h, w, channels, outputs = (int(rng.integers(*r)) for r in ((3, 70), (3, 70), (6, 18), (6, 18), (1, 40), (1, 70)))
        h, w = (k + (n - k) // stride * stride if n > k else k for n, k in ((h, kh), (w, kw)))
        layer = {"H": h, "W": w, "kh": kh, "kw": kw, "Cin": channels, "N": outputs, "stride": stride}
        dataflow = list(DATAFLOWS)[i % len(DATAFLOWS)]
        (printed,) = run_scalesim(rows, columns, dataflow, [layer])
        texts = {k: str(v) for k, v in layer.items()}
        found.append({"R": f"{rows}", "C": f"{columns}", "df": dataflow, "layer": f"run {i}", **texts, **printed})
    return found


def _closed(tables: Tables, table: Sequence[Row]) -> Iterator[list[Point]]:
    layers = {net: classic_layers(tables[f"{net}_layers"]) for net in ("resnet18", "mobilenetv2")}
    for (array, net), rows in _grouped(table, ("array", "net")):
        r, c = (int(v) for v in array.split("x"))
        ours = {d: costs(r, c, d, layers[net]) for d in DATAFLOWS}
        for row in rows:
            yield [Point(f"{row['layer']} {array} {d}", int(row[d]), _cycles(ours[d][row["layer"]])) for d in DATAFLOWS]


def _grouped(table: Sequence[Row], keys: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], list[Row]]]:
    def key(row: Row) -> tuple[str, ...]:
        return tuple(row[k] for k in keys)

    return [(k, list(rows)) for k, rows in groupby(sorted(table, key=key), key)]


def _cycles(cost: LayerCost) -> int:
    return cost.busy["systolic"]


def recorded_rows(table: Sequence[Row]) -> Iterator[list[Point]]:
    """One row of numbers for each recorded run: R, C, df, layer, H, W, kh, kw, Cin, N, stride and what SCALE-Sim printed."""
    for (r, c, dataflow), rows in _grouped(table, ("R", "C", "df")):
        shapes = [_shape(row) for row in rows]
        ours = costs(int(r), int(c), dataflow, shapes)
        for row in rows:
            yield _compared(row, ours[row["layer"]], f"{row['layer']} {r}x{c} {dataflow}")


def _shape(row: Row) -> LayerShape:
    h, w, kh, kw, channels, outputs, stride = (int(row[n]) for n in ("H", "W", "kh", "kw", "Cin", "N", "stride"))
    return LayerShape(row["layer"], channels, outputs, (h, w), (kh, kw), stride)


def _compared(row: Row, cost: LayerCost, label: str) -> list[Point]:
    a, size = cost.actions, int(row["R"]) * int(row["C"])
    folds = cost.mapped_slots // size
    defect = (int(row["R"]) + int(row["C"])) * (folds // _stream(row)) if row["df"] == "os" else 0
    ours = {
        "total_cycles": _cycles(cost),
        "rd_if": a["inputs_read"],
        "rd_fl": a["weights_read"],
        "wr_of": a["outputs_written"] + a.get("sums_written", 0) + defect,
        "util": round(100 * cost.utilisation, 9),
        "mapeff": round(100 * cost.mapping_efficiency, 9),
    }
    return [Point(f"{label} {name}", round(float(row[name]), 9), value) for name, value in ours.items()]


def _stream(row: Row) -> int:
    """What streams past an output-stationary array: the products of one sum."""
    return int(row["kh"]) * int(row["kw"]) * int(row["Cin"])
