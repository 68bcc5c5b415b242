"""Explanations: the lines add up to the row, and every change says what a run of the changed chip or network says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hwsim import cli, estimate, load_arch, load_model
from hwsim.errors import HwsimError
from hwsim.explain import explain
from hwsim.io.explain_report import print_explanation
from hwsim.io.explain_words import words
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


def test_a_larger_array_is_one_of_twice_the_outputs() -> None:
    arch, graph = load_arch("snpe_dsp"), load_model(MODEL)
    change = next(c for c in explain(arch, graph, "block0.pointwise").changes if c.of == "hvx")
    cost = estimate(load_arch("snpe_dsp", {"arrays.hvx.unroll": "[{OX: 8, K: 64, C: 4}, {OX: 16, G: 32, FX: 4}]"}), graph)
    assert (change.network_cycles, change.network_pj) == (cost.cycles, cost.energy_pj)


@pytest.mark.parametrize("chip", ["ethos_u55_256", "haq_bit_serial", "systolic_128x128", "t4", "bitfusion_16x32", "gap9_ne16"])
def test_every_kind_of_array_can_be_larger(chip: str) -> None:
    """Which saves time, except where longer columns fill more slowly than they multiply."""
    e = explain(load_arch(chip), TABLE, "second")
    change = next(c for c in e.changes if c.change.endswith("twice as large"))
    assert change.cycles is not None and (change.cycles <= e.layer.total_cycles or chip in ("haq_bit_serial", "systolic_128x128"))


def said(chip: str, bits: int, layer: str = "second", fields: dict[str, str] | None = None) -> str:
    shapes = [LayerShape(n, 64, 64, (14, 14), (3, 3), weight_bits=bits, activation_bits=8) for n in ("first", "second")]
    return "\n".join(words(explain(load_arch(chip, fields), network("table", shapes), layer)))


def test_words_for_an_array_of_one_width() -> None:
    """4-bit weights are multiplied as 8-bit ones, and have to be widened first."""
    text = said("cortex_m4", 4)
    assert "w4a8 is stored and moved as it is but multiplied as w8a8" in text and "times a weight is widened" in text
    assert re.search(r"Stored as it is multiplied \(weights of 8 instead of 4 bits\) it would take -\d+ % time", text)
    assert "No narrower width is faster on this unit" in text and "So fewer bits help neither time nor energy here" in text


def test_words_where_fewer_bits_help() -> None:
    text = said("haq_bit_serial", 8)
    assert "in 64 passes" in text and re.search(r"A bit less of weights: -1[0-9] % time", text) and "So fewer bits make it faster" in text
    text = said("bitfusion_16x32", 8)
    assert "With weights of 4 instead of 8 bits it runs as w4a8" in text


def test_words_where_the_overhead_binds() -> None:
    text = said("snpe_dsp", 8, fields={"overheads.per_layer": "1 s"})
    assert "What binds is the fixed cost of issuing a layer" in text and "(the overhead of a layer binds)" in text


def test_an_unvalidated_chip_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(explain(load_arch("snpe_dsp"), load_model(MODEL), "stem"), True, True, "table")
    assert "validation: UNVALIDATED" in capsys.readouterr().out
