"""The cost of any assignment of widths from the table, against a run of the network quantized so."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.arch import Arch
from hwsim.decide.export import export_table
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.table import CostTable, cost_table
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.precision import Precision
from hwsim.simulate import simulate
from hwsim.steps.quantize import quantize
from hwsim.steps.read import read
from hwsim.topologies._net import Net

CHIPS: dict[str, tuple[str, dict[str, str]]] = {
    "composed multipliers": ("bitfusion_16x32", {}),
    "little weight memory": ("bitfusion_16x32", {"memories.wbuf.size": "8 KiB"}),
    "activations leave the chip at some widths": ("gap9_ne16", {"memories.l1.size": "1 KiB", "memories.l2.size": "3 KiB"}),
    "fallback": ("snpe_dsp", {"arrays.hvx.runs": "[conv, matmul]"}),
    "fallback at some widths": ("tensorrt_t4", {"arrays.tensor_cores.rates": "{w8a8: 1, fp16: 0.5}"}),
    "one scale for both sides": ("cortex_m7", {}),
    "power of two": ("tvm_arm_a72", {}),
    "weights kept": ("edge_tpu", {}),
    "first and last at 8 bits": ("snpe_dsp", {"quantization.first_last_bits": "8"}),
}


@cache
def network() -> SourceGraph:
    """A residual network with a pool, a depthwise layer, a projection and a concatenation; batch normalization is folded."""
    net = Net("mixed", seed=5)
    x = net.max_pool(net.relu(net.conv(net.input("input", (1, 3, 16, 16)), 8, 3, bias=True)), 2, 2)
    y = net.conv(net.relu(net.conv(x, 8, 3, groups=8, bias=True)), 16, 1, bias=True)
    z = net.relu(net.add(net.conv(x, 16, 1, bias=True), y))
    return net.finish(net.classify(net.concat([net.relu(net.conv(z, 4, 1, bias=True)), net.conv(z, 4, 3, bias=True)]), 5))


def chip(case: str) -> Arch:
    return hwsim.load_arch(*CHIPS[case])


def run(arch: Arch, table: CostTable, choice: list[int]) -> list[float]:
    """Cycles, pJ, weight bits, traffic off chip and BitOps of the network quantized by an assignment, by a run."""
    ranges = dict.fromkeys(read(network()).tensors, (-1.0, 1.0))
    graph = read(quantize(network(), arch.quantization, table.precision(choice), ranges))
    layers = simulate(arch, graph).cost.layers
    far = [n for n, m in arch.memories.items() if not m.on_chip]
    return [
        sum(c.total_cycles for c in layers),
        sum(c.total_pj for c in layers),
        sum(c.weight_storage_bits for c in layers),
        sum(c.read_bits.get(m, 0) + c.write_bits.get(m, 0) for c in layers for m in far),
        sum(c.macs * c.weight_bits * c.activation_bits for c in layers),
    ]


@pytest.mark.parametrize("case", CHIPS)
def test_every_assignment_costs_what_a_run_reports(case: str) -> None:
    arch = chip(case)
    table = cost_table(arch, read(network()), (2, 4, 8), (4, 8))
    rng = np.random.default_rng(0)
    choices = np.array([[int(rng.integers(len(o))) for o in table.options] for _ in range(12)])
    assert table.evaluate(choices).tolist() == [run(arch, table, list(c)) for c in choices]


def test_the_start_of_an_inference_is_that_of_the_assignment() -> None:
    """hexagon_v73: 101 us with 8-bit activations, 440 us with 16."""
    arch = hwsim.load_arch("hexagon_v73")
    table = cost_table(arch, read(network()), (8,), (8, 16))
    for bits in (8, 16):
        choice = table.choice(Precision((8, bits)))
        assert list(table.price(choice)) == run(arch, table, choice)
    assert table.price(table.choice(Precision((8, 8))))[0] < 0.5 * table.price(choice)[0]


@pytest.mark.parametrize("case", ["composed multipliers", "fallback"])
def test_cells_are_the_rows_of_uniform_networks(case: str) -> None:
    arch = chip(case)
    table = cost_table(arch, read(network()), (2, 8), (4, 8))
    ranges = dict.fromkeys(read(network()).tensors, (-1.0, 1.0))
    for i, w in enumerate((2, 8)):
        for j, a in enumerate((4, 8)):
            rows = {c.name: c for c in hwsim.estimate(arch, read(quantize(network(), arch.quantization, f"w{w}a{a}", ranges))).layers}
            assert table.cells("cycles")[:, i, j].tolist() == [rows[name].total_cycles for name in table.layers]
            assert table.cells("energy_pj")[:, i, j].tolist() == [rows[name].total_pj for name in table.layers]


def test_a_quantized_network_gives_the_same_table() -> None:
    arch = chip("composed multipliers")
    ranges = dict.fromkeys(read(network()).tensors, (-1.0, 1.0))
    stored = read(quantize(network(), arch.quantization, "w4a4", ranges))
    tables = [cost_table(arch, g, (2, 8), (2, 8)) for g in (stored, read(network()))]
    assert np.array_equal(*(t.cells("energy_pj") for t in tables))


def test_fewer_bits_never_cost_more_storage_or_bit_operations() -> None:
    table = cost_table(chip("composed multipliers"), read(network()), range(2, 9), range(2, 9))
    for q in ("size_bits", "bitops"):
        cells = table.cells(q)
        assert (np.diff(cells, axis=1) > 0).all() and (np.diff(cells, axis=2) >= 0).all()


def test_exports(tmp_path: Path) -> None:
    table = cost_table(chip("composed multipliers"), read(network()), (2, 4, 8), (4, 8))
    files = {form: tmp_path / f"table.{form}" for form in ("haq", "csv", "json", "parquet")}
    for form, path in files.items():
        if form == "parquet":
            pytest.importorskip("pyarrow")
        export_table(table, form, path)
    haq = np.load(BytesIO(files["haq"].read_bytes()), allow_pickle=False)
    assert haq.shape == (len(table.layers), 8, 8) and haq.dtype == np.int64
    assert np.array_equal(haq[:, 3, 7], table.cells("cycles")[:, 1, 1]) and (haq[:, 0] == -1).all()
    rows = json.loads(files["json"].read_text())
    assert len(rows) == len(table.layers) * 6
    assert list(rows[0]) == ["layer", "weight_bits", "activation_bits", *QUANTITIES]
    assert sum(r["energy_pj"] for r in rows) == table.cells("energy_pj").sum()
    lines = files["csv"].read_text().splitlines()
    assert lines[1].split(",") == [str(v) for v in rows[0].values()]
    import pyarrow.parquet as pq

    assert pq.read_table(files["parquet"]).to_pylist() == rows


@pytest.mark.parametrize(("bits", "found"), [((), "none"), ((0, 8), "0, 8"), ((8, 17), "8, 17")])
def test_widths_that_are_none(bits: tuple[int, ...], found: str) -> None:
    with pytest.raises(HwsimError, match=f"weight_bits: must be widths of 1 to 16 bits, not {found}"):
        cost_table(chip("fallback"), read(network()), bits)
