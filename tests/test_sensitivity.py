"""Sensitivity: against runs of the same mixtures made the plain way, resumed, in parallel; traces against exact Hessians."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from hwsim.decide.outputs import cross_entropy, divergence, sqnr_db
from hwsim.decide.sensitivity import METRICS, Sensitivity, sensitivity
from hwsim.decide.study import Question, Study, numerics
from hwsim.decide.traces import curvatures, hutchinson
from hwsim.errors import HwsimError
from hwsim.io.arch_yaml import load_arch
from hwsim.io.model import read_model
from hwsim.steps.execute import execute
from hwsim.steps.lower import lower
from hwsim.steps.read import read
from tests.data import WORKLOADS

FIELDS = {"quantization.first_last_bits": "8"}


def question(chip: str = "gap9_ne16", samples: int = 40, method: str = "mse+bias") -> Question:
    test, seen = np.load(WORKLOADS / "digits_test.npz"), np.load(WORKLOADS / "digits_calibration.npz")["x"][:48]
    source = read_model(WORKLOADS / "digits_resnet_float.onnx")
    return Question(load_arch(chip, FIELDS), source, seen, test["x"][:samples], test["y"][:samples], (2, 4, 8), (4, 8), method)


@cache
def found() -> Sensitivity:
    return sensitivity(question())


def test_rows_are_what_whole_runs_of_the_mixtures_say() -> None:
    q, study = question(), Study.of(question())
    for row in found().rows[::7]:
        v = next(i for i, w in enumerate(q.table.widths) if w.name == row.width)
        choice = [len(o) - 1 for o in q.table.options]
        choice[v] = q.table.options[v].index(row.bits)
        graph = read(study.network(q.table.precision(choice)), q.shapes(len(q.x)))
        outputs = execute(lower(graph, q.arch), {graph.inputs[0]: q.x}, engine="reference").tensors[graph.outputs[0]]
        assert row.accuracy == (outputs.argmax(1) == q.y).mean()
        assert row.kl == pytest.approx(divergence(q.float_outputs, outputs), rel=1e-9)
        assert row.sqnr_db == pytest.approx(sqnr_db(q.float_outputs, outputs), rel=1e-9)
        assert row.loss == pytest.approx(cross_entropy(outputs, q.y), rel=1e-9)
        assert row.accuracy_loss == found().widest.accuracy - row.accuracy


def test_nothing_narrowed_is_the_quantized_network() -> None:
    q = question()
    plain = q.outputs(q.quantized("w8a8").network)
    assert np.array_equal(Study.of(q).outputs, plain)
    assert found().widest.kl == pytest.approx(divergence(q.float_outputs, plain), rel=1e-9)


def test_the_rule_for_the_first_and_last_layer_leaves_them_out() -> None:
    layers = [w.nodes[0] for w in question().table.widths if w.kind == "weights"]
    assert not any(set(r.layers) & {layers[0], layers[-1]} for r in found().rows)


def test_fewer_bits_of_weights_lose_more() -> None:
    rows = {(r.width, r.bits): r for r in found().rows if r.kind == "weights"}
    pairs = [(rows[w, 2], rows[w, 4]) for w, bits in rows if bits == 2]
    assert all(a.perturbation > b.perturbation for a, b in pairs)  # type: ignore[operator]
    assert np.mean([a.kl > b.kl for a, b in pairs]) > 0.8


def test_resumes_and_does_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = tmp_path / "cells.db"
    stops = iter(range(5))
    with pytest.raises(StopIteration):
        sensitivity(question(), keep=keep, progress=lambda *_: next(stops))
    seen: list[int] = []
    whole = sensitivity(question(), keep=keep, progress=lambda done, total: seen.append(done))
    assert seen[0] == 7 and whole.rows == found().rows
    monkeypatch.setattr(Study, "of", lambda q: pytest.fail("nothing is left to run"))
    assert sensitivity(question(), keep=keep).rows == found().rows
    same_numbers = replace(question(), arch=load_arch("gap9_ne16", FIELDS | {"memories.l2.size": "3 MiB", "clock.frequency": "1 GHz"}))
    assert same_numbers.key == question().key and sensitivity(same_numbers, keep=keep).rows == found().rows
    assert replace(question(), method="minmax").key != question().key


@pytest.mark.slow
def test_worker_processes_give_the_same() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert sensitivity(question(), executor=pool).rows == found().rows


def test_files(tmp_path: Path) -> None:
    for name in ("s.json", "s.csv"):
        found().write(tmp_path / name)
    held = json.loads((tmp_path / "s.json").read_text())
    assert len(held["rows"]) == len(found().rows) and held["metric"] == "top1" and held["rows"][0]["width"] == found().rows[0].width
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert len(lines) == len(found().rows) + 2 and lines[0].startswith("width,kind,layers,bits,accuracy")
    with pytest.raises(HwsimError, match=r"-o: must end with \.json or \.csv, not 's\.txt'"):
        found().write(tmp_path / "s.txt")


def test_numerics_are_blind_to_prices_alone() -> None:
    chip = load_arch("gap9_ne16")
    same = {"memories.l1.size": "64 KiB", "clock.frequency": "1 GHz", "energy.scale": "2.0", "dma.setup": "1 cycles"}
    assert all(numerics(load_arch("gap9_ne16", {k: v})) == numerics(chip) for k, v in same.items())
    other = {"arithmetic.default": "gemmlowp", "quantization.graph": "1", "arrays.ne16.accumulator.bits": "16"}
    assert all(numerics(load_arch("gap9_ne16", {k: v})) != numerics(chip) for k, v in other.items())


def test_every_metric_of_a_row() -> None:
    row = next(r for r in found().rows if r.kind == "weights")
    full = replace(row, mean_trace=2.0, fisher=3.0)
    assert METRICS["trace"](full) == 2.0 * row.perturbation  # type: ignore[operator]
    assert METRICS["whole_trace"](full) == 2.0 * row.perturbation * row.weights  # type: ignore[operator]
    assert METRICS["fisher"](full) == 3.0 * row.perturbation  # type: ignore[operator]
    assert METRICS["trace"](replace(full, mean_trace=-1.0)) == 0  # an estimate below 0 is noise
    assert METRICS["trace"](row) is None


def test_divergence_by_hand() -> None:
    p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    want = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert divergence(p, q) == pytest.approx(want)
    assert divergence(np.log(p) + 3, np.log(q) - 1) == pytest.approx(want)
    maps = np.stack([p.reshape(2, 1, 1)] * 2), np.stack([q.reshape(2, 1, 1)] * 2)
    assert divergence(*maps) == pytest.approx(want)


# Traces ------------------------------------------------------------------------------------------------------------------------------


def test_traces_of_a_quadratic_are_exact_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """tr(H) of a known H, and the variance 2 sum_{i != j} H_ij^2 of an estimate (HAWQ-V2, proposition 1)."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("hwsim.decide.traces.ENOUGH", 0.0)
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 6))
    h = half @ half.T
    w = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(0.5 * w @ torch.tensor(h) @ w, w, create_graph=True)
    samples = hutchinson(gradient, [w], probes=1000)[:, 0]
    variance = 2 * (np.square(h).sum() - np.square(np.diag(h)).sum())
    assert abs(samples.mean() - np.trace(h)) < 4 * np.sqrt(variance / len(samples))
    assert samples.var() == pytest.approx(variance, rel=0.3)
    diagonal = torch.autograd.grad(0.5 * (w * w * torch.arange(1.0, 7.0)).sum(), w, create_graph=True)
    assert np.allclose(hutchinson(diagonal, [w]), 21.0)


def test_traces_of_a_network_against_its_whole_hessian() -> None:
    torch = pytest.importorskip("torch")
    from hwsim.pipeline.torch_graph import forward, tensor

    q = question(samples=12)
    graph = read(q.free, q.shapes(12))
    last = [n for n in graph.nodes if n.op in ("matmul", "conv")][-1]
    got = curvatures(graph, q.x, q.y, [last.name], probes=300)[last.name]
    name = last.inputs[1]
    start = tensor(graph.tensors[name].constant.array)  # type: ignore[union-attr]

    def loss(flat):  # type: ignore[no-untyped-def]
        out = forward(graph, {graph.inputs[0]: tensor(q.x)}, {name: flat.reshape(start.shape)})
        return torch.nn.functional.cross_entropy(out, torch.tensor(q.y.astype(np.int64)))

    hessian = torch.autograd.functional.hessian(loss, start.reshape(-1)).numpy()
    assert abs(got.mean_trace - np.trace(hessian) / start.numel()) < 4 * got.error + 1e-6
    assert got.fisher > 0


def test_gradients_run_the_same_network() -> None:
    pytest.importorskip("torch")
    from hwsim.pipeline.torch_graph import forward, tensor

    q = question(samples=16)
    graph = read(q.free, q.shapes(16))
    out = forward(graph, {graph.inputs[0]: tensor(q.x)}, {}).numpy()
    assert np.allclose(out, q.float_outputs, atol=1e-4)
