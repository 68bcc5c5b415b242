"""The search for widths: budgets, ties, peaks, answers judged bit-true, co-search of a chip's fields, files, and chips that differ."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import hwsim
from hwsim.cli import app
from hwsim.decide.budget import COSTS, Limits, limits_of, parse_budgets
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import live_bits, losses, problem_of
from hwsim.decide.search import Found, Wish, search
from hwsim.decide.search_report import write_search
from hwsim.decide.sensitivity import Sensitivity
from hwsim.decide.table import CostTable, cost_table
from hwsim.decide.ties import tied
from hwsim.decide.why import gain, reasons
from hwsim.errors import HwsimError
from hwsim.io.arch_yaml import load_arch
from hwsim.io.onnx_model import read_onnx
from hwsim.precision import Precision
from hwsim.searches._scores import scores
from hwsim.shelf import load
from hwsim.steps.execute import execute
from hwsim.steps.lower import lower
from hwsim.steps.read import read
from hwsim.steps.residency import plan_residency
from tests.data import WORKLOADS
from tests.test_cost_table import network
from tests.test_sensitivity import found as measured
from tests.test_sensitivity import question

# Budgets -----------------------------------------------------------------------------------------------------------------------------

REFERENCE = {"cycles": 1e6, "energy_pj": 4e9, "size_bits": 8e6, "offchip_bits": 8e6, "bitops": 64e6}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("latency=0.6x", {"cycles": 6e5}),
        ("latency=2 ms,energy=2mJ", {"cycles": 2e6, "energy_pj": 2e9}),
        ("latency=500 cycles", {"cycles": 500}),
        ("size=100KiB,traffic=0.5x", {"size_bits": 819200, "offchip_bits": 4e6}),
        ("bitops=16/mac", {"bitops": 16e6}),
        ("bitops=2.5e6", {"bitops": 2.5e6}),
        ("tops=2x", {"cycles": 5e5}),
        ("tops=0.004", {"cycles": 5e5}),
        ("latency=0.9x,tops=2x", {"cycles": 5e5}),
        ("", {}),
    ],
)
def test_budgets(text: str, want: dict[str, float]) -> None:
    found = limits_of(parse_budgets(text), REFERENCE, 4096.0, 1e9, 1_000_000, 2.0)
    assert found.costs == pytest.approx(want)
    assert found.peak_bits is found.accuracy_loss is None


def test_budgets_of_peaks_and_accuracy() -> None:
    found = limits_of(parse_budgets("peak=0.5x,accuracy=-1,area=1.5x"), REFERENCE, 4096.0, 1e9, 1_000_000, 2.0)
    assert found == Limits({}, 2048.0, 0.01, 3.0)
    assert limits_of(parse_budgets("peak=1 KiB"), REFERENCE, 4096.0, 1e9, 1, 2.0).peak_bits == 8192
    assert limits_of(parse_budgets("area=250000 um2"), REFERENCE, 4096.0, 1e9, 1, 2.0).area == 0.25


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("latencies=1x", "did you mean 'latency'"),
        ("latency=1x,latency=2x", "must limit latency once, not twice"),
        ("latency", "must be limits on latency, energy"),
    ],
)
def test_budgets_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(HwsimError, match=complaint):
        parse_budgets(text)


@pytest.mark.parametrize("text", ["latency=6", "energy=2 ms", "size=x", "bitops=few/mac", "accuracy=low"])
def test_amounts_that_are_none(text: str) -> None:
    name = text.partition("=")[0]
    with pytest.raises(HwsimError, match=f"--budget: {name} must be such as"):
        limits_of(parse_budgets(text), REFERENCE, 1.0, 1e9, 1, 1.0)


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({"objective": "speed"}, "--objective: must be one of accuracy, latency"),
        ({"metric": "kll"}, "did you mean 'kl'"),
        ({"objective": "latency"}, "must say what accuracy may be lost"),
        ({"budgets": parse_budgets("accuracy=-1")}, "must limit costs for --objective accuracy"),
    ],
)
def test_wishes_that_are_none(wish: dict[str, Any], complaint: str) -> None:
    with pytest.raises(HwsimError, match=complaint):
        Wish(**wish)


# Problems ----------------------------------------------------------------------------------------------------------------------------


@cache
def table(chip: str) -> CostTable:
    return cost_table(load_arch(chip), read(network()), (2, 4, 8), (4, 8))


def draws(t: CostTable, count: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, len(o), count) for o in t.options], 1).astype(np.uint8)


def noise(t: CostTable) -> list[np.ndarray]:
    """A loss by width: 4^-bits times how much the width covers."""
    sizes = [sum(t.graph.tensors[n].elements for n in w.tensors) for w in t.widths]
    return [np.sqrt(n) * 4.0 ** -np.array(o, float) for n, o in zip(sizes, t.options, strict=True)]


def test_a_problem_is_loss_and_costs() -> None:
    t, choices = table("bitfusion_16x32"), draws(table("bitfusion_16x32"))
    problem = problem_of(t, noise(t), Limits({"cycles": 1e5, "energy_pj": 1e9}))
    got, costs = scores(problem, choices), t.evaluate(choices)
    assert got[:, 0] == pytest.approx([sum(r[o] for r, o in zip(noise(t), c, strict=True)) for c in choices])
    assert np.array_equal(got[:, 1:], costs[:, [QUANTITIES.index("cycles"), QUANTITIES.index("energy_pj")]])
    cheapest = problem_of(t, noise(t), Limits({"loss": 1.0}), "energy_pj")
    assert np.array_equal(scores(cheapest, choices), np.stack([got[:, 2], got[:, 0]], 1))
    assert problem.features is not None and problem.features.shape == (len(t.widths), 8)


def test_live_bits_are_those_of_the_lowered_network() -> None:
    t = table("gap9_ne16")
    choices = draws(t, 12)
    want = [max(plan_residency(t.program(c), t.arch).live_bits) for c in choices]
    assert live_bits(t, choices).tolist() == want


def test_a_peak_is_kept_by_exact_searches() -> None:
    t = question().table
    loss = noise(t)
    ends = live_bits(t, np.stack([np.zeros(len(t.options), np.uint8), np.array([len(o) - 1 for o in t.options], np.uint8)]))
    limit = float(ends.mean())
    problem = problem_of(t, loss, Limits({}, limit))
    found = [load("searches", s).search(problem)[0] for s in ("ilp", "pareto")]
    assert (live_bits(t, np.array(found)) <= limit).all() and ends[1] > limit
    assert len({float(v) for v in scores(problem, np.array(found))[:, 0].round(12)}) == 1
    every = draws(t, 4096)
    legal = every[live_bits(t, every) <= limit]
    assert scores(problem, legal)[:, 0].min() >= scores(problem, np.array(found))[0, 0]


@pytest.mark.parametrize("kinds", [("residual",), ("layer",), ("residual", "layer")])
def test_ties(kinds: tuple[str, ...]) -> None:
    t = table("bitfusion_16x32")
    whole = problem_of(t, noise(t), Limits({"cycles": 1e12}))
    some = tied(whole, t, kinds)
    rng = np.random.default_rng(1)
    choices = np.stack([rng.integers(0, n, 50) for n in some.problem.options], 1).astype(np.uint8)
    full = some.expanded(choices)
    assert scores(some.problem, choices) == pytest.approx(scores(whole, full))
    weights = {n: v for v, w in enumerate(t.widths) if w.kind == "weights" for n in w.nodes}
    inputs = {n: v for v, w in enumerate(t.widths) if w.kind == "activations" for n in w.nodes}
    bits = np.stack([np.array(o)[full[:, v]] for v, o in enumerate(t.options)], 1)
    if "layer" in kinds:
        assert all((bits[:, weights[n]] == bits[:, inputs[n]]).all() for n in weights)
    if "residual" in kinds:
        projection, main = (n.name for n in t.graph.nodes if n.op == "conv" and n.name in residual_pair(t))
        assert (bits[:, weights[projection]] == bits[:, weights[main]]).all() and projection != main


def residual_pair(t: CostTable) -> set[str]:
    """The two convolutions of the network whose outputs are added: found by hand, from the adding node upwards."""
    add = next(n for n in t.graph.nodes if n.attrs.get("function") == "add")
    found = set()
    for name in add.inputs:
        while (maker := t.graph.producer[name]).op != "conv":
            name = maker.inputs[0]
        found.add(maker.name)
    return found


def test_a_tie_that_is_none() -> None:
    t = table("bitfusion_16x32")
    with pytest.raises(HwsimError, match="--tie: must be among residual, layer"):
        tied(problem_of(t, noise(t), Limits({})), t, ("layers",))


# Chips that differ -------------------------------------------------------------------------------------------------------------------


def test_each_chip_has_its_own_best_widths() -> None:
    """HAQ's table 3: of the assignments found for three chips at one loss, each is the fastest on its own chip."""
    chips = ("snpe_dsp", "bitfusion_16x32", "gap9_ne16")
    found = []
    for name in chips:
        t = table(name)
        rows = [r - r[-1] for r in noise(t)]
        limit = 0.3 * sum(float(r[0]) for r in rows)
        found.append(t.precision(load("searches", "ilp").search(problem_of(t, rows, Limits({"loss": limit}), "cycles"))[0]))
    at = QUANTITIES.index("cycles")
    prices = np.array([[table(n).evaluate(np.array([table(n).choice(p)], np.uint8))[0, at] for n in chips] for p in found])
    assert (np.diag(prices) <= prices.min(0)).all()
    assert len({str(p) for p in found}) == 3


# Answers -----------------------------------------------------------------------------------------------------------------------------


@cache
def answer(kind: str = "accuracy") -> Found:
    q = replace(question(samples=60), weight_bits=(2, 4, 8), activation_bits=(4, 8))
    wish = Wish(budgets=parse_budgets("latency=0.95x")) if kind == "accuracy" else Wish("latency", parse_budgets("accuracy=-2"))
    return search(q, wish, q.first(40))


def test_the_answer_keeps_the_limits_and_is_the_best_of_what_was_judged() -> None:
    found = answer()
    assert found.best.costs["cycles"] <= found.limits.costs["cycles"] == 0.95 * found.widest.costs["cycles"]
    assert found.best in found.judged and found.best.verdict is not None and found.best.rated is not None
    assert found.best.rated.loss == min(p.rated.loss for p in found.judged if p.rated is not None and p.rated.loss is not None)
    assert 2 < len(found.judged) <= found.wish.candidates
    assert all(p.costs["cycles"] <= found.limits.costs["cycles"] for p in found.judged)
    assert any(p.how.startswith("uniform") for p in found.judged)
    choices = np.array([found.best.choice], np.uint8)
    assert found.table.evaluate(choices)[0].tolist() == [found.best.costs[q] for q in QUANTITIES]


def test_the_cheapest_is_never_dearer_than_the_best_uniform_width() -> None:
    found = answer("latency")
    assert found.best.verdict is not None and found.widest.verdict is not None
    floor = found.widest.verdict.accuracy - 0.02 - 1e-12
    assert found.best.verdict.accuracy >= floor
    good = [p for p in found.judged if p.verdict is not None and p.verdict.accuracy >= floor]
    assert found.best.costs["cycles"] == min(p.costs["cycles"] for p in good)
    assert found.best.costs["cycles"] < 0.95 * found.widest.costs["cycles"]


def test_nothing_within_the_limits() -> None:
    with pytest.raises(HwsimError, match=r"--budget: must leave an assignment; the least there is: latency 0\.\d+x, not latency=0\.1x"):
        search(question(), Wish(budgets=parse_budgets("latency=0.1x")))


def test_the_reason_of_every_width() -> None:
    found = answer()
    why = reasons(found)
    assert [r.width for r in why] == [w.name for w in found.table.widths]
    base = found.table.evaluate(np.array([found.best.choice], np.uint8))[0, 0]
    for v, r in enumerate(why):
        assert r.bits == found.table.options[v][found.best.choice[v]] and r.text.endswith(".")
        other = np.array([found.best.choice], np.uint8)
        other[0, v] = 0
        assert r.costs[0] == pytest.approx((found.table.evaluate(other)[0, 0] - base) / found.widest.costs["cycles"])
        assert r.costs[found.best.choice[v]] == 0
    assert "8 bits by the chip's rule for the first and last layer." in {why[0].text, why[1].text}
    assert any("which is over the limit" in r.text for r in why)
    assert 0 < gain(found) < 1


@pytest.mark.slow
def test_a_chip_that_gives_nothing_says_so(tmp_path: Path) -> None:
    q = replace(question("cortex_m7", samples=40), weight_bits=(4, 8), activation_bits=(8,))
    found = search(q, Wish(budgets=parse_budgets("size=0.8x")))
    write_search(found, tmp_path)
    page = (tmp_path / "search.html").read_text()
    assert ("This chip gives nothing for narrow widths" in page) == (gain(found) < 0.01)


def test_files_of_an_answer(tmp_path: Path) -> None:
    found = answer()
    write_search(found, tmp_path)
    precision = Precision.from_json((tmp_path / "precision.json").read_text())
    assert str(precision) == str(found.best.precision)
    source = read_onnx(tmp_path / "network.onnx")
    q = found.question
    graph = read(source, {source.inputs[0]: q.x.shape})
    outputs = execute(lower(graph, q.arch), {graph.inputs[0]: q.x}).tensors[graph.outputs[0]]
    assert found.best.verdict is not None
    assert (outputs.argmax(1) == q.y).mean() == found.best.verdict.accuracy
    page = (tmp_path / "search.html").read_text()
    assert page.count("<svg") == 2 and all(r.text.replace("'", "&#39;") in page for r in reasons(found))
    assert "http" not in page.replace("http://www.w3.org", "")
    rows = (tmp_path / "points.csv").read_text().splitlines()
    assert len(rows) >= 4 and rows[0].startswith("assignment,mean_weight_bits")
    assert len(json.loads((tmp_path / "sensitivity.json").read_text())["rows"]) == len(found.sensitivity.rows)


@pytest.mark.slow
def test_fields_of_the_chip_are_searched_too() -> None:
    """A slower clock needs narrower widths for the same time; the sensitivity is measured once, for a clock changes no number."""
    q = question(samples=40)
    slow, fast = (
        replace(q, arch=load_arch("gap9_ne16", {"quantization.first_last_bits": "8", "clock.frequency": f})) for f in ("355 MHz", "400 MHz")
    )
    wish = Wish(budgets=parse_budgets("latency=0.95x"))
    found = search(q, wish, variants=[({"clock.frequency": "355 MHz"}, slow.arch), ({"clock.frequency": "400 MHz"}, fast.arch)])
    losses_of = {str(fields): p.loss for fields, _, p in found.variants if p is not None}
    assert len(found.variants) == 3 and found.question.arch is fast.arch
    assert min(losses_of.values()) == losses_of["{'clock.frequency': '400 MHz'}"] < losses_of["{}"]
    limit = 0.95 * found.variants[0][1].clock_hz ** -1 * found_cycles(q)
    assert found.best.costs["cycles"] / fast.arch.clock_hz <= limit * (1 + 1e-12)


def test_chips_beyond_the_area_are_no_answer() -> None:
    """Twice the memory is more than a tenth more of the chip."""
    q = replace(question(samples=8), weight_bits=(4, 8), activation_bits=(8,))
    wide = load_arch("gap9_ne16", {"quantization.first_last_bits": "8", "memories.l2.size": "3 MiB"})
    wish, variants = Wish(budgets=parse_budgets("size=0.9x,area=1.1x"), candidates=1), [({"memories.l2.size": "3 MiB"}, wide)]
    found = search(q, wish, variants=variants)
    assert found.question.arch is q.arch and [p is None for _, _, p in found.variants] == [False, True]
    with pytest.raises(HwsimError, match=r"the least there is: size .*x, area .* mm2 without --vary, not size=0.9x, area=1 mm2"):
        search(q, replace(wish, budgets=parse_budgets("size=0.9x,area=1 mm2")), variants=variants)


def found_cycles(q: Any) -> float:
    widest = np.array([[len(o) - 1 for o in q.table.options]], np.uint8)
    return float(q.table.evaluate(widest)[0, 0])


@pytest.mark.parametrize("metric", ["sqnr", "perturbation", "accuracy"])
def test_other_metrics_of_loss(metric: str) -> None:
    rows = losses(question().table, measured(), metric)
    assert all((r >= 0).all() and r[-1] == 0 for r in rows) and sum(r.sum() for r in rows) > 0


def test_the_front_door() -> None:
    arch, model = load_arch("gap9_ne16"), hwsim.load_model(WORKLOADS / "digits_resnet_float.onnx")
    files = WORKLOADS / "digits_test.npz", WORKLOADS / "digits_calibration.npz"
    s = hwsim.sensitivity(arch, model, *files, weight_bits=(4, 8), activation_bits=(8,), method="minmax", samples=20)
    assert isinstance(s, Sensitivity) and s.samples == 20 and {r.bits for r in s.rows} == {4}
    found = hwsim.search(
        arch, model, files[0], "size=0.9x", calibration=files[1], weight_bits=(4, 8), activation_bits=(8,), method="minmax", samples=20
    )
    assert found.best.costs["size_bits"] <= 0.9 * found.widest.costs["size_bits"]


def test_verbs(tmp_path: Path) -> None:
    keep = ["--keep", str(tmp_path / "k.db"), "--method", "minmax", "--bits", "w=4,8,a=8", "--samples", "20"]
    files = ["--model", str(WORKLOADS / "digits_resnet_float.onnx"), "--data", str(WORKLOADS / "digits_test.npz")]
    out = CliRunner().invoke(app, ["sensitivity", "--arch", "gap9_ne16", *files, *keep, "-o", str(tmp_path / "s.csv")])
    assert out.exit_code == 0 and "top1: float 1.0000, widest on the chip" in out.stdout and (tmp_path / "s.csv").exists()
    out = CliRunner().invoke(app, ["search", "--arch", "gap9_ne16", *files, *keep, "--budget", "size=0.8x", "-o", str(tmp_path / "found")])
    assert out.exit_code == 0 and "w8a8 except" in out.stdout
    names = {p.name for p in (tmp_path / "found").iterdir()}
    assert names == {"precision.json", "network.onnx", "points.csv", "sensitivity.json", "pareto.svg", "bits.svg", "search.html"}
    assert set(COSTS) == {"latency", "energy", "size", "traffic", "bitops"}
