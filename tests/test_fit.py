"""Fitting a chip to measurements: numbers come back from times that they made, and what no measurement touches stays where it was."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hwsim import estimate
from hwsim.building import network_to_price
from hwsim.cli import app
from hwsim.errors import HwsimError
from hwsim.fitting import fit_chip, prior_chip, samples_of
from hwsim.io.arch_yaml import load_arch, presets
from hwsim.io.fit_report import fitted_values
from hwsim.io.fitted_yaml import printed, write_fitted
from hwsim.io.shipped import shipped_folder
from hwsim.measured import Measured, measured_rows
from hwsim.steps.fit import NOISE, Fitted, fit
from hwsim.topologies import named, networks
from tests.bench.refit import commands, refit, shift

NETWORKS = ("resnet8", "ds_cnn", "squeezenet1_1", "resnet18", "mobilenet_v1_025_96", "fc_autoencoder")
FIT = """
fit:
  arrays.hvx.efficiency.w8a8: {value: 0.5, width: 99.0, source: a guess}
  arrays.hvx.efficiency.w4a4: {value: 0.5, width: 2.0, source: no network runs so}
  overheads.per_inference: {value: 100 us, width: 99.0, source: a guess}
  overheads.per_layer: {value: 1 us, width: 99.0, source: a guess}
"""
TRUTH = {"arrays.hvx.efficiency.w8a8": 0.4, "overheads.per_inference": 5e-5, "overheads.per_layer": 3e-6}


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snpe_dsp preset with a `fit` block."""
    text = (shipped_folder("archs") / "snpe_dsp.yaml").read_text()
    text = text.replace("    dataflow:", "    efficiency: {w8a8: 0.5, w4a4: 0.5}  # of what the data sheet says\n    dataflow:", 1)
    path = tmp_path_factory.mktemp("chip") / "snpe_dsp.yaml"
    path.write_text(text.replace("\nvalidation:", f"{FIT}\nvalidation:"))
    return path


def row(network: str, seconds: float, **given: Any) -> Measured:
    return replace(Measured(network, network, None, "w8a8", 1, "latency", seconds, {}), **given)


@pytest.fixture(scope="module")
def rows(chip: Path) -> list[Measured]:
    """What the chip with the true numbers would take."""
    prior, _ = prior_chip(str(chip))
    true = prior.replaced(
        {k: replace(n, amount=v) if not isinstance(n := prior.number(k), float) else v for k, v in TRUTH.items()}  # type: ignore[arg-type]
    )
    unknown = [row(n, 1.0) for n in NETWORKS]
    return [replace(r, value=s.predict(true)) for r, s in zip(unknown, samples_of(prior, unknown), strict=True)]


@pytest.fixture(scope="module")
def found(chip: Path, rows: list[Measured]) -> Fitted:
    return fit_chip(*prior_chip(str(chip)), rows)


def amount(fitted: Fitted, name: str) -> float:
    number = fitted.fit.arch.number(name)
    return number if isinstance(number, float) else number.amount


def test_numbers_come_back(found: Fitted) -> None:
    """Six networks, three numbers, wide priors: what made the times is found, as far as the priors let it: well within the noise."""
    assert max(abs(p.error) for p in found.points) < NOISE / 10
    for name, true in TRUTH.items():
        assert amount(found, name) == pytest.approx(true, rel=0.2), name


def test_predictions_are_what_the_model_says_of_the_fitted_chip(found: Fitted, rows: list[Measured]) -> None:
    for r, predicted in zip(rows, found.fit.predicted, strict=True):
        graph = network_to_price(r.network, "w8a8", rules=found.fit.arch.quantization)
        assert estimate(found.fit.arch, graph).latency_s == pytest.approx(predicted, rel=1e-3)


def test_what_no_row_touches_stays_at_its_prior(found: Fitted) -> None:
    index = [p.name for p in found.fit.parameters].index("arrays.hvx.efficiency.w4a4")
    assert amount(found, "arrays.hvx.efficiency.w4a4") == pytest.approx(0.5, rel=1e-3)
    assert found.fit.spread[index] == pytest.approx(1)
    assert found.fit.verdict(index) == "not identifiable: prior"
    assert found.fit.verdict(0) == "identified"


def test_the_left_out_network_has_no_say(chip: Path, rows: list[Measured], found: Fitted) -> None:
    prior, parameters = prior_chip(str(chip))
    wrong = [replace(r, value=2 * r.value) if r.network == "ds_cnn" else r for r in rows]
    left_out = fit_chip(prior, parameters, wrong).left_out
    assert left_out is not None and found.left_out is not None
    assert left_out[1] == pytest.approx(found.left_out[1], rel=0.02)
    assert left_out[0] != pytest.approx(found.left_out[0], rel=0.02)


def test_one_odd_row_does_not_decide(chip: Path, rows: list[Measured]) -> None:
    """Three rows of each network, one of them three times too long: a mean of logarithms would be 44 % off."""
    prior, parameters = prior_chip(str(chip))
    many = [replace(r, label=f"{r.label} {i}") for r in rows for i in range(3)]
    many[0] = replace(many[0], value=3 * many[0].value)
    fitted = fit(prior, parameters, samples_of(prior, many))
    assert abs(log(fitted.predicted[1] / many[1].value)) < 0.06


def test_shares_stay_below_one(chip: Path, rows: list[Measured]) -> None:
    prior, parameters = prior_chip(str(chip))
    fitted = fit(prior, parameters, samples_of(prior, [replace(r, value=r.value / 50) for r in rows]))
    assert all(float(fitted.arch.number(p.name)) <= 1.00001 for p in parameters if "efficiency" in p.name)  # type: ignore[arg-type]
    assert "at its bound" in {fitted.verdict(i) for i in range(len(parameters))}


def test_fitted_file_keeps_the_text(chip: Path, found: Fitted, tmp_path: Path) -> None:
    values = fitted_values(found)
    out = tmp_path / "fitted.yaml"
    arch = write_fitted(chip, values, found.evidence("made up"), out)
    before, after = chip.read_text().splitlines(), out.read_text().splitlines()
    changed = [a for a, b in zip(after, before, strict=False) if a != b]
    assert "  # of what the data sheet says" in changed[0]
    assert sum("fit" in line for line in changed) == 0
    for name in TRUTH:
        assert amount(found, name) == pytest.approx(getattr(number := arch.number(name), "amount", number), rel=1e-3)
    assert arch.validation.status == "FITTED"
    assert arch.validation.evidence[0].not_identifiable == ["arrays.hvx.efficiency.w4a4"]
    assert "latency of 6 measurements of 6 networks (w8a8, made up): MAPE" in arch.validation.text
    again = write_fitted(out, values, found.evidence("made up"), out)
    assert len(again.validation.evidence) == 1
    assert len(write_fitted(out, values, found.evidence("other"), out).validation.evidence) == 2
    assert arch.fit == load_arch(chip).fit, "priors never move"


@pytest.mark.parametrize(
    ("prior", "factor", "text"),
    [("100 us", 0.7, "70 us"), (0.5, 1.5, "0.75"), ("67.2 GB/s", 0.5, "33.6 GB/s"), ("1_000 cycles", 2, "2000 cycles")],
)
def test_printed(prior: str | float, factor: float, text: str) -> None:
    assert printed(prior, factor) == text


@pytest.mark.parametrize("changed", ["{value: 2 us, width: 99.0", "{value: 1 us, width: 3.0"])
def test_every_field_of_a_prior_matters(chip: Path, changed: str) -> None:
    other = chip.with_name("other.yaml")
    other.write_text(chip.read_text().replace("{value: 1 us, width: 99.0", changed))
    (a, before), (b, after) = prior_chip(str(chip)), prior_chip(str(other))
    assert (a.number("overheads.per_layer"), before) != (b.number("overheads.per_layer"), after)


def test_rows_in_publishers_words() -> None:
    table = [
        {
            "model": "fcn_resnet50 @520x520 (a remark)",
            "precision": "W8A8",
            "batch": "1",
            "metric": "latency",
            "value": "44378",
            "unit": "us",
        },
        {"model": "ResNet-8 CIFAR10", "precision": "int8 (x)", "batch": "", "metric": "energy", "value": "27.7", "unit": "uJ"},
        {"model": "VGG16", "precision": "fp16 (atc)", "batch": "16", "metric": "throughput_per_die", "value": "256", "unit": "fps"},
    ]
    a, b, c = measured_rows(table)
    assert (a.network, a.image, a.precision, a.value) == ("fcn_resnet50", 520, "w8a8", pytest.approx(0.044378))
    assert (b.figure, b.precision, b.value) == ("energy", "w8a8", pytest.approx(27.7e-6))
    assert (c.batch, c.precision, c.value) == (16, "fp16", pytest.approx(16 / 256))
    assert [r.network for r in measured_rows(table, {"model": "VGG"})] == ["VGG16"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ResNet-8 CIFAR10", "resnet8"),
        ("DS-CNN 49x10", "ds_cnn"),
        ("Inception v1", "googlenet"),
        ("mobilenet", "mobilenet_v1"),
        ("vit", "vit_b_16"),
    ],
)
def test_labels_of_networks(label: str, name: str) -> None:
    assert named(label) == name


def test_every_network_answers_to_its_own_name() -> None:
    assert all(named(n) == n for n in networks())


BAD: dict[str, tuple[dict[str, str], str]] = {
    "unit": ({"unit": "furlong"}, "unit must be one of"),
    "value": ({"value": "-1"}, "value must be more than 0"),
    "text": ({"value": "fast"}, "value must be a number"),
    "batch": ({"batch": "large"}, "batch must be a whole number"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(HwsimError, match=message):
        measured_rows([{"model": "resnet8", "precision": "int8", "batch": "1", "value": "3", "unit": "ms"} | change])


def test_complaints(chip: Path, rows: list[Measured]) -> None:
    with pytest.raises(HwsimError, match="`fit` block"):
        prior_chip("tpu_v1")
    with pytest.raises(HwsimError, match="did you mean"):
        prior_chip(str(chip), ["overheads.per_laye"])
    with pytest.raises(HwsimError, match="latencies or energies"):
        fit_chip(*prior_chip(str(chip)), [*rows, row("resnet8", 1e-3, figure="energy")])
    with pytest.raises(HwsimError, match="column 'unit'"):
        measured_rows([{"model": "resnet8", "precision": "int8", "value": "3"}])


def test_command(chip: Path, rows: list[Measured], tmp_path: Path) -> None:
    """One anchor measurement moves the two numbers asked for and no other."""
    table, out = tmp_path / "perf.csv", tmp_path / "fitted.yaml"
    table.write_text(f"model,precision,value,unit,board\nds_cnn,w8a8,{1e6 * rows[1].value},us,a\nds_cnn,w8a8,1,us,b\n")
    only = ["--only", "overheads.per_inference", "--only", "overheads.per_layer"]
    run = CliRunner().invoke(app, ["fit", "--arch", str(chip), "--measured", str(table), "-o", str(out), "--where", "board=a", *only])
    assert run.exit_code == 0, run.output
    assert "not identifiable" in run.output or "identified" in run.output
    arch = load_arch(out)
    assert arch.validation.evidence[0].rows == 1
    assert arch.arrays == load_arch(chip).arrays
    assert exp(abs(log(arch.number("overheads.per_inference").amount / 1e-4))) > 1.05  # type: ignore[union-attr]


FITTED = [name for name in presets() if load_arch(name).validation.status == "FITTED"]


def test_presets_fitted_to_measurements() -> None:
    """Issue: these, each with its evidence and the commands that made its numbers; all others say that they are not."""
    hexagons, cortexes = (f"hexagon_v{v}" for v in (66, 68, 73, 75)), (f"cortex_{v}" for v in ("m4", "m7", "m33", "a53", "a72", "a76"))
    assert {*hexagons, *cortexes, "t4", "gap9_ne16", "ndp120", "eyeriss_v1", "edge_tpu", "dpu_b4096", "acl_ascend310"} <= set(FITTED)
    for name in FITTED:
        arch = load_arch(name)
        assert arch.validation.evidence and arch.fit and commands(name), name
        assert all(e.rows >= 1 and e.worst and e.conditions for e in arch.validation.evidence), name
    unfitted = [load_arch(n) for n in presets() if n not in FITTED]
    assert all(a.validation.text.startswith("UNVALIDATED") for a in unfitted)


@pytest.mark.parametrize("name", ["ndp120", "cortex_m4"])
def test_presets_are_what_their_commands_make(name: str, tmp_path: Path) -> None:
    before, after = load_arch(name), refit(name, tmp_path)
    assert max(shift(before, after).values()) < 1.005
    assert [e.figure for e in after.validation.evidence] == [e.figure for e in before.validation.evidence]
    for old, new in zip(before.validation.evidence, after.validation.evidence, strict=True):
        assert (new.rows, new.networks, new.conditions) == (old.rows, old.networks, old.conditions)
        assert new.mape == pytest.approx(old.mape, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FITTED) - {"ndp120", "cortex_m4", "hexagon_v73", "hexagon_v75"}))
def test_all_presets_are_what_their_commands_make(name: str, tmp_path: Path) -> None:
    """The two large Hexagons take a minute each: `python -m tests.bench refit`."""
    assert max(shift(load_arch(name), refit(name, tmp_path)).values()) < 1.005
