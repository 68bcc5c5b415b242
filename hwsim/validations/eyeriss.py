"""Eyeriss on AlexNet, layer by layer, each foretold by a chip that was fitted to the other four; the paper's mapping is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwsim.arch import Arch
from hwsim.cost import LayerCost
from hwsim.fitting import measured_layer, prior_chip, samples_of
from hwsim.measured import Measured
from hwsim.simulate import price
from hwsim.steps.fit import Parameter, fit
from hwsim.steps.lower import lower
from hwsim.steps.ports import port_cycles
from hwsim.validation import Figure, Point, Row, Tables, mean_error
from hwsim.validations._fits import rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures", "foretold"]

TITLE = "Eyeriss, AlexNet by layer"
KIND = "silicon"
SOURCE = "Chen et al., JSSC 52(1) 2017, Tables V and VI (reports/validation/eyeriss.csv)"
LEFT_OUT = "each layer by a chip fitted to total latency and energy of the other four"
WANTED = (
    ("processing_latency", "processing latency", 10, 5, f"mapping given; {LEFT_OUT}"),
    ("glb_access", "global buffer, words read and written", 5, 3, "mapping given; nothing is fitted"),
    ("dram_access", "DRAM, bytes read and written", 20, 10, "mapping and shares of zeros given; nothing is fitted"),
    ("total_latency", "total latency", 15, 8, LEFT_OUT),
    ("energy", "energy of the chip", 20, 10, LEFT_OUT),
)
FITTED = {"total_latency": ("arrays.pe_array.passes.start", "arrays.pe_array.passes.exposed"), "energy": ("energy.scale", "energy.clock")}


def figures(tables: Tables) -> Iterator[Figure]:
    table = tables["eyeriss"]
    points: dict[str, list[Point]] = {}
    for model in dict.fromkeys(r["model"] for r in table):
        for metric, point in _layer(table, model).items():
            points.setdefault(metric, []).append(point)
    for metric, name, must, aim, note in WANTED:
        yield mean_error(name, points[metric], must, aim, note)


def _layer(table: Sequence[Row], model: str) -> dict[str, Point]:
    """Every figure of one layer."""
    prior, parameters = prior_chip("eyeriss_v1")
    arch = _fitted(prior, parameters, [r for r in table if r["model"] != model])
    (row,) = rows_of(table, model=model, metric="total_latency")
    found = foretold(arch, row)
    return {r["metric"]: Point(f"{model} {r['metric']}", float(r["value"]), found[r["metric"]]) for r in table if r["model"] == model}


def _fitted(arch: Arch, parameters: Sequence[Parameter], table: Sequence[Row]) -> Arch:
    for metric, names in FITTED.items():
        chosen = [p for p in parameters if p.name in names]
        arch = fit(arch, chosen, samples_of(arch, rows_of(table, metric=metric))).arch
    return arch


def foretold(arch: Arch, row: Measured) -> dict[str, float]:
    """Milliseconds, MB and mJ of one layer by the names of the table."""
    program = lower(measured_layer(row), arch)
    cost = price(arch, program, given={row.network: row.mapping} if row.mapping else None).layers[0]
    energy_pj = sum(v for part, v in cost.energy_pj.items() if part != "dram")
    milliseconds = 1e3 / arch.clock_hz
    return {
        "processing_latency": milliseconds * _processing(arch, cost),
        "glb_access": (cost.read_bits["glb"] + cost.write_bits["glb"]) / 8e6,
        "dram_access": (cost.read_bits["dram"] + cost.write_bits["dram"]) / 8e6,
        "total_latency": milliseconds * cost.total_cycles,
        "energy": energy_pj / 1e9,
    }


def _processing(arch: Arch, cost: LayerCost) -> int:
    """Passes, at the pace of elements or buffer, and the loading of their filters."""
    return max(cost.busy["pe_array"], cost.busy["glb"]) + port_cycles(arch, "filter_spad", 0, cost.write_bits["filter_spad"])
