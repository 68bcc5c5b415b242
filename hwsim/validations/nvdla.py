"""NVDLA's performance sheet: compute, DRAM and SRAM cycles of every layer of AlexNet and GoogLeNet, and what binds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil

from hwsim.arch import Arch
from hwsim.cost import LayerCost
from hwsim.io.arch_yaml import load_arch
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.steps.ports import port_cycles
from hwsim.validation import Figure, Point, Row, Tables, equal

TITLE = "NVDLA's performance sheet"
KIND = "vendor's estimator"
SOURCE = "nvdla.org, NVDLA performance tool, nv_full with and without 4 MB of SRAM"

Columns = Callable[[Arch, LayerCost], dict[str, float | str]]
SWITCHES = ("dram_in", "dram_weight_div", "dram_out", "sram_read_in", "sram_weight_div", "sram_write_out")
BATCH = 16
PLACED = "with SRAM, placement given: compute, DRAM, SRAM read and write, total, what binds"
STREAMED = "without SRAM: compute, DRAM, total, what binds"
OPTIONS = (
    "the sheet's own options are inputs: weights 16/9 for Winograd layers but those of GoogLeNet's inceptions 3b to 5b (8 rows), weights "
    "of fully-connected layers shared by 16 frames but for GoogLeNet's without SRAM (1 row); its fractions of a cycle are rounded up"
)


def figures(tables: Tables) -> Iterator[Figure]:
    rows, arch = tables["nvdla_sheet"], load_arch("nvdla_sheet")
    layers = [layer for i, r in enumerate(rows) for layer in _with_pool(_shape(f"{i}", r), r)]
    yield equal(PLACED, _compared(arch, rows, layers, [_placement(r) for r in rows], _with_sram), OPTIONS)
    yield equal(STREAMED, _compared(arch, rows, layers, [_options(r) for r in rows], _without_sram), OPTIONS)


def _shape(name: str, r: Row) -> LayerShape:
    channels, h, w, outputs, kh, kw, stride = (int(r[k]) for k in ("C", "H", "W", "K", "R", "S", "stride"))
    if r["attr"] == "fc":
        return LayerShape(name, channels * h * w, outputs)
    pads = [max((-(-n // stride) - 1) * stride + k - n, 0) if r["pad_same"] == "1" else 0 for n, k in ((h, kh), (w, kw))]
    pad = (pads[0] // 2, pads[1] // 2, pads[0] - pads[0] // 2, pads[1] - pads[1] // 2)
    return LayerShape(name, channels, outputs, (h, w), (kh, kw), stride, pad)


def _with_pool(layer: LayerShape, r: Row) -> list[LayerShape]:
    """The layer and the pool that runs behind it, whose last window may be cut off."""
    if not r["pool_kernel"]:
        return [layer]
    size, stride = int(r["pool_kernel"]), int(r["pool_stride"])
    rows = layer.output[2:]
    over = [(-(-(n - size) // stride)) * stride + size - n for n in rows]
    pool = LayerShape(
        f"{layer.name}.pool", layer.outputs, layer.outputs, (rows[0], rows[1]), (size, size), stride, (0, 0, over[0], over[1])
    )
    return [layer, replace(pool, op="max_pool", after=(layer.name,))]


def _options(r: Row) -> dict[str, float]:
    winograd = r["R"] == r["S"] == "3"
    shared = r["attr"] == "fc" and r["network"] == "AlexNet"
    grown = 16 / 9 if winograd and r["weight_16_9"] == "1" else 1.0
    return {"weight_growth": grown, "weight_div": BATCH if shared else 1, "batch": BATCH if r["attr"] == "fc" else 1}


def _placement(r: Row) -> dict[str, float]:
    return {**_options(r), **{k: float(r[k] or 0) for k in SWITCHES}}


def _compared(
    arch: Arch, rows: Sequence[Row], layers: Sequence[LayerShape], given: Sequence[dict[str, float]], columns: Columns
) -> Iterator[list[Point]]:
    known = {f"{i}": g for i, g in enumerate(given)}
    costs = price(arch, lower(network("sheet", layers), arch), given=known).layers
    for row, cost in zip(rows, costs, strict=True):
        yield [_point(row, k, v) for k, v in columns(arch, cost).items() if row[k]]


def _point(row: Row, column: str, ours: float | str) -> Point:
    label = f"{row['network']} {row['layer']} {column}"
    if isinstance(ours, str):
        return Point(f"{label} {row[column]}, ours {ours}", 1, float(ours == row[column]))
    return Point(label, ceil(float(row[column])), ours)


def _with_sram(arch: Arch, cost: LayerCost) -> dict[str, float | str]:
    read, written = (port_cycles(arch, "cvsram", *bits) for bits in ((cost.read_bits["cvsram"], 0), (0, cost.write_bits["cvsram"])))
    sram = "CVSRAM-W" if written >= read else "CVSRAM-R"
    return {
        "mac_cyc": cost.busy["cmac"],
        "sram_dram_cyc": cost.busy["dram"],
        "sram_rd_cyc": read,
        "sram_wr_cyc": written,
        "sram_max_cyc": cost.total_cycles,
        "sram_bound": {"cmac": "MAC", "dram": "DRAM"}.get(cost.bound_by, sram),
    }


def _without_sram(arch: Arch, cost: LayerCost) -> dict[str, float | str]:
    return {
        "mac_cyc": cost.busy["cmac"],
        "nosram_dram_cyc": cost.busy["dram"],
        "nosram_max_cyc": cost.total_cycles,
        "nosram_bound": "MAC" if cost.bound_by == "cmac" else "DRAM",
    }
