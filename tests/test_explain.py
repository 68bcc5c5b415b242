"""Explanations: the lines add up to the row, and every change says what a run of the changed chip or network says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwsim import cli, estimate, load_arch, load_model
from hwsim.errors import HwsimError
from hwsim.explain import explain
from hwsim.io.explain_report import print_explanation
from hwsim.steps.energy import by_part
from hwsim.steps.layer_table import LayerShape, network
from tests.data import WORKLOADS

MODEL = WORKLOADS / "digits_resnet_w8a8.onnx"
CHIPS = ("snpe_dsp", "nvdla_full", "tensorrt_t4", "fbgemm_x86")
TABLE = network("table", [LayerShape("first", 3, 32, (16, 16), (3, 3)), LayerShape("second", 64, 64, (14, 14), (3, 3))])


@pytest.mark.parametrize("chip", CHIPS)
def test_lines_add_up_and_say_where_they_come_from(chip: str) -> None:
    arch, graph = load_arch(chip), load_model(MODEL)
    e = explain(arch, graph, "block0.pointwise")
    row = next(c for c in estimate(arch, graph).layers if c.name == "block0.pointwise")
    assert by_part(e.energy) == e.layer.energy_pj == row.energy_pj
    assert e.layer.cycles == row.cycles
    assert all(e.sources[line.price].text for line in e.energy if line.number)
    assert max([*e.layer.busy.values(), e.layer.cycles["overhead"]]) >= max(p.cycles for p in e.ports)


@pytest.mark.parametrize("chip", ["bitfusion_16x32", "haq_bit_serial", "systolic_128x128", "nvdla_sheet"])
def test_reference_arrays(chip: str) -> None:
    arch = load_arch(chip)
    e = explain(arch, TABLE, "second")
    assert by_part(e.energy) == e.layer.energy_pj == estimate(arch, TABLE).layers[1].energy_pj
    assert e.kind == next(iter(arch.arrays.values())).kind


def test_changes_are_runs_of_the_changed_chip() -> None:
    """A memory twice as fast through the front door."""
    arch, graph = load_arch("snpe_dsp"), load_model(MODEL)
    e = explain(arch, graph, "stem")
    faster = load_arch("snpe_dsp", {"memories.l2.read": "128 B/cycle", "memories.l2.write": "128 B/cycle"})
    assert arch.memories["l2"].read.per_cycle(arch.clock_hz) * 2 == faster.memories["l2"].read.per_cycle(arch.clock_hz)
    cost, change = estimate(faster, graph), next(c for c in e.changes if c.change == "l2 twice as fast")
    assert (change.network_cycles, change.network_pj) == (cost.cycles, cost.energy_pj)


def test_why_fewer_bits_do_not_help_or_do() -> None:
    """SNPE's DSP multiplies 8 x 8 whatever is stored; a bit-serial array takes a pass less for each bit."""
    graph = load_model(MODEL)
    dsp = explain(load_arch("snpe_dsp"), graph, "block0.pointwise").changes[0]
    assert dsp.change == "weights of 7 instead of 8 bits" and dsp.runs_as == "w8a8"
    serial = explain(load_arch("haq_bit_serial"), TABLE, "second")
    fewer = serial.changes[0]
    assert fewer.runs_as == "w7a8" and fewer.cycles is not None and fewer.cycles < serial.layer.total_cycles


def test_an_unknown_layer_is_told() -> None:
    with pytest.raises(HwsimError, match="did you mean 'stem'"):
        explain(load_arch("snpe_dsp"), load_model(MODEL), "sten")


def test_forms(capsys: pytest.CaptureFixture[str]) -> None:
    e = explain(load_arch("snpe_dsp"), load_model(MODEL), "stem")
    print_explanation(e, True, True, "json")
    assert json.loads(capsys.readouterr().out)["layer"]["name"] == "stem"
    print_explanation(e, True, False, "table")
    text = capsys.readouterr().out
    assert "bound by overhead" in text and "actions x prices" not in text


def test_the_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hwsim", "explain", "--arch", "snpe_dsp", "--model", str(Path(MODEL)), "--layer", "stem", "--energy"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (0, None)
    assert "Jouppi ISCA 2021" in capsys.readouterr().out
