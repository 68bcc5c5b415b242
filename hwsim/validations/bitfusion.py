"""Bit Fusion's simulator: cycles, stalls, accesses and energy of ResNet-18 at five precisions, and its published sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from math import isclose

from hwsim.cost import LayerCost
from hwsim.io.arch_yaml import load_arch
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.validation import Figure, Point, Row, Tables, equal, without_table
from hwsim.validations._layers import classic_layers

TITLE = "Bit Fusion"
KIND = "simulator"
SOURCE = "hsharma35/bitfusion: its simulator run on ResNet-18, and results/bitfusion-eyeriss-sim-sweep.csv"

RESNET = "ResNet-18 from a8w8 to a2w2: cycles, stalls, SRAM and DRAM accesses, energy"
SWEEP = "published sweep of 8 networks on 5 chips: cycles, stalls, SRAM and DRAM accesses"
BUFFERS = ("wbuf", "ibuf", "obuf")
ENERGY_PARTS = ("mac", *BUFFERS, "dram")
ENERGY_NOTE = "energy of the parts that the simulator counts (array, buffers, DRAM), to nine digits: hwsim sums on a grid of 1 fJ"
SIZES_NOTE = "the sweep's columns named Size (bits) hold bytes"


def figures(tables: Tables) -> Iterator[Figure]:
    yield equal(RESNET, _resnet(tables), ENERGY_NOTE)
    sweep, shapes = tables.peer("bitfusion-eyeriss-sim-sweep"), tables.peer("bitfusion_sweep_layers")
    yield equal(SWEEP, _sweep(sweep, shapes), SIZES_NOTE) if sweep and shapes else without_table(SWEEP, "bitfusion-eyeriss-sim-sweep")


def _costs(layers: Sequence[LayerShape], columns: int = 32, **memories: str) -> dict[str, LayerCost]:
    """Each layer's cost on a chip with so many columns; `memories` are fields of memories, dots as two underscores."""
    unroll = f"[{{C: 16, K: {columns}}}, {{C: 16, K: {columns}, most_channels: 3}}]"
    fields = {f"memories.{k.replace('__', '.')}": v for k, v in memories.items()}
    arch = load_arch("bitfusion_16x32", {"arrays.fusion_units.unroll": unroll, **fields})
    return {c.name: c for c in price(arch, lower(network("layers", layers), arch)).layers}


def _resnet(tables: Tables) -> Iterator[list[Point]]:
    shapes = classic_layers(tables["resnet18_layers"])
    for (a, w), rows in groupby(tables["bitfusion_resnet18"], lambda r: (int(r["a"]), int(r["w"]))):
        ours = _costs([replace(s, activation_bits=a, weight_bits=w) for s in shapes])
        for row in rows:
            cost = ours[row["layer"]]
            energy = sum(cost.energy_pj[p] for p in ENERGY_PARTS) / 1e3
            found = {
                "cycles": cost.total_cycles,
                "mem_stall": cost.cycles["memory"],
                "act_rd_bits": cost.read_bits["ibuf"],
                "wgt_rd_bits": cost.read_bits["wbuf"],
                "out_rd_bits": cost.read_bits["obuf"],
                "dram_rd_bits": cost.read_bits["dram"],
                "out_wr_bits": cost.write_bits["obuf"],
                "dram_wr_bits": cost.write_bits["dram"],
                "energy_nJ": float(row["energy_nJ"]) if isclose(energy, float(row["energy_nJ"]), rel_tol=1e-9) else energy,
            }
            yield [Point(f"{row['layer']} a{a}w{w} {k}", float(row[k]), v) for k, v in found.items()]


def _sweep(sweep: Sequence[Row], shapes: Sequence[Row]) -> Iterator[list[Point]]:
    layers = {net: [_shape(r) for r in rows] for net, rows in groupby(shapes, lambda r: r["network"])}

    chip = ("M", "Bandwidth (bits/cycle)", *(f"{m.upper()} Size (bits)" for m in BUFFERS))

    @cache
    def costs(net: str, columns: int, port: int, *sizes: int) -> dict[str, LayerCost]:
        width = {f"dram__{side}": f"{port} b/cycle" for side in ("read", "write")}
        return _costs(layers[net], columns, **width, **{f"{m}__size": f"{n} B" for m, n in zip(BUFFERS, sizes, strict=True)})

    for row in sweep:
        knobs = [int(row[k]) for k in chip]
        cost = costs(row["Network"], *knobs)[row["Layer"]]
        yield _compared(row, cost, f"{row['Network']} {row['Layer']} {knobs[0]} columns {knobs[1]} b/cycle")


def _compared(row: Row, cost: LayerCost, label: str) -> list[Point]:
    found = {"Cycles": cost.total_cycles, "Memory wait cycles": cost.cycles["memory"]}
    for memory in (*BUFFERS, "dram"):
        found |= {f"{memory.upper()} Read": cost.read_bits[memory], f"{memory.upper()} Write": cost.write_bits[memory]}
    return [Point(f"{label} {k}", int(row[k]), v) for k, v in found.items()]


def _shape(r: Row) -> LayerShape:
    """The input side follows from the output's: (O - 1) S + K."""
    kernel, out, stride, channels, outputs, batch = (int(r[k]) for k in ("K", "O", "S", "IC", "OC", "B"))
    side = (out - 1) * stride + kernel
    shape = LayerShape(r["layer"], channels, outputs, (side, side), (kernel, kernel), stride, batch=batch)
    shape = replace(shape, activation_bits=int(r["abits"]), weight_bits=int(r["wbits"]))
    return replace(shape, size=(1, 1), kernel=None) if r["kind"] == "fc" else shape
