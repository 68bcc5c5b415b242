"""Sweeps: what they write, that a kill at any moment harms nothing, and that faults are told in one line."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim
from hwsim.decide import sweep as sweep_module
from hwsim.decide.points import Context, Points, evaluate
from hwsim.decide.sweep import grid, sweep
from hwsim.errors import HwsimError
from hwsim.io.onnx_model import write_onnx
from hwsim.io.store import open_store, read_sweep
from hwsim.simulate import area_of
from hwsim.steps.quantize import quantize
from hwsim.steps.read import read
from tests.data import WORKLOADS
from tests.dying import Deadly
from tests.test_cost_table import network

ROOT = Path(__file__).resolve().parents[1]
CHIPS = ("bitfusion_16x32", "gap9_ne16")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "mixed.onnx"
    write_onnx(network(), path)
    return str(path)


def content(path: Path) -> list[tuple[Any, ...]]:
    """The table without what may differ between runs: seconds, and the order."""
    columns, rows = read_sweep(path)
    kept = [i for i, c in enumerate(columns) if c not in ("seconds", "id")]
    return sorted((tuple(r[i] for i in kept) for r in rows), key=repr)


def test_points_cost_what_a_run_reports(model: str, tmp_path: Path) -> None:
    out = tmp_path / "s.db"
    points = grid(CHIPS, [model], (2, 8), (4, 8), vary={"clock.frequency": ("100 MHz", "1 GHz")})
    assert sweep(points, out) == sweep_module.Counts(0, 16, 0)
    _, rows = read_sweep(out, "SELECT arch, fields, precision, cycles, energy_j, latency_s, area_mm2 FROM sweep")
    assert len(rows) == 16
    for arch_name, fields, precision, cycles, energy, latency, area in rows:
        arch = hwsim.load_arch(arch_name, {"clock.frequency": "1 GHz" if "1 GHz" in fields else "100 MHz"})
        ranges = dict.fromkeys(read(network()).tensors, (-1.0, 1.0))
        cost = hwsim.estimate(arch, read(quantize(network(), arch.quantization, precision, ranges)))
        assert (cycles, energy, latency) == (cost.cycles, cost.energy_pj * 1e-12, cost.latency_s)
        assert area == pytest.approx(sum(area_of(arch).values())) and area > 0


def test_a_second_run_computes_nothing_and_a_larger_one_the_rest(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "s.db"
    sweep(grid(CHIPS, [model], (8,), (8,)), out)
    assert sweep(grid(CHIPS, [model], (4, 8), (8,)), out) == sweep_module.Counts(2, 2, 0)
    monkeypatch.setattr(sweep_module, "evaluate", lambda points: pytest.fail("computed again"))
    assert sweep(grid(CHIPS, [model], (4, 8), (8,)), out) == sweep_module.Counts(4, 0, 0)


def test_mixed_assignments_are_priced_by_the_table(model: str, tmp_path: Path) -> None:
    out = tmp_path / "s.db"
    points = grid(["bitfusion_16x32"], [model], (2, 4, 8), (4, 8), mixed=500)
    assert sweep(points, out).now == len(np.unique(np.array(points[0].choices), axis=0))
    assert sweep(points, out).before == 500
    table = hwsim.cost_table(hwsim.load_arch("bitfusion_16x32"), hwsim.load_model(model), (2, 4, 8), (4, 8))
    choices = points[0].choices
    assert choices is not None
    _, rows = read_sweep(out, "SELECT cycles FROM sweep")
    assert sorted(r[0] for r in rows) == sorted(table.evaluate(np.unique(choices, axis=0))[:, 0].astype(int).tolist())
    more = grid(["bitfusion_16x32"], [model], (2, 3, 4, 8), (4, 8), mixed=1)[0].context
    at = {b: i for i, b in enumerate((2, 3, 4, 8))}
    kinds = [w.kind for w in table.widths]
    moved = [[at[(2, 4, 8)[c]] if k == "weights" else c for c, k in zip(row, kinds, strict=True)] for row in choices[:5]]
    assert Points(more, (), np.array(moved, np.uint8)).keys() == points[0].part(np.arange(5)).keys()


def test_accuracy_is_of_the_bit_true_run(tmp_path: Path) -> None:
    out, data = tmp_path / "s.db", str(WORKLOADS / "digits_test.npz")
    stored = str(WORKLOADS / "digits_resnet_w8a8.onnx")
    sweep(grid(["snpe_dsp"], [stored], data=data, samples=64), out)
    result = hwsim.run(hwsim.load_arch("snpe_dsp"), hwsim.load_model(stored), data)
    assert result.accuracy is not None
    _, rows = read_sweep(out, "SELECT accuracy, metric, scored, energy_j FROM sweep")
    assert rows[0][1:] == ("top1", 64, result.energy_j)
    assert abs(rows[0][0] - result.accuracy.value) < 0.05


def test_a_failing_point_is_recorded_and_the_others_go_on(model: str, tmp_path: Path) -> None:
    out = tmp_path / "s.db"
    name = next(iter(hwsim.load_arch("bitfusion_16x32").arrays))
    runs = {f"arrays.{name}.runs": ("[conv]", "[conv, depthwise, matmul]")}
    points = grid(["bitfusion_16x32"], [model], (8,), (8,), vary=runs)
    counts = sweep(points, out)
    assert (counts.now, counts.failed) == (2, 1)
    _, rows = read_sweep(out, "SELECT status, message FROM sweep ORDER BY status")
    assert rows[0][0] == "failed" and "must run on bitfusion_16x32" in rows[0][1]
    assert rows[1] == ("ok", "")
    assert sweep(points, out).now == 0
    assert sweep(points, out, retry_failed=True).now == 1


def test_versions_do_not_mix_unless_asked(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "s.db"
    sweep(grid(CHIPS, [model], (8,), (8,)), out)
    monkeypatch.setattr(sweep_module, "source_version", lambda: "9.9")
    with pytest.raises(HwsimError, match=r"must hold results of hwsim 9.9, not .*; write to another file"):
        sweep(grid(CHIPS, [model], (4,), (8,)), out)
    assert sweep(grid(CHIPS, [model], (4,), (8,)), out, mix_versions=True).now == 2


def test_one_driver_at_a_time(model: str, tmp_path: Path) -> None:
    out = tmp_path / "s.db"
    with open_store(out), pytest.raises(HwsimError, match="must be free, not held by another sweep"):
        sweep(grid(CHIPS, [model], (8,), (8,)), out)
    assert sweep(grid(CHIPS, [model], (8,), (8,)), out).now == 2


def test_another_file_is_not_touched(tmp_path: Path, model: str) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a database, but long enough to be taken for one" * 10)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(HwsimError, match="must be a sweep file"):
            sweep(grid(CHIPS, [model], (8,), (8,)), path)
        assert path.read_bytes() == before


def test_a_file_left_in_the_middle_of_a_change_is_read(model: str, tmp_path: Path) -> None:
    """A driver killed while it changes the file itself, without a write-ahead log, leaves a journal that a reader has to roll back."""
    out, left = tmp_path / "s.db", tmp_path / "left?.db"
    sweep(grid(CHIPS, [model], (8,), (8,)), out)
    with closing(sqlite3.connect(out, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("CREATE TABLE large AS SELECT randomblob(1000000)")
        for name in ("", "-journal"):
            shutil.copy(f"{out}{name}", f"{left}{name}")
        assert left.stat().st_size > 0 and Path(f"{left}-journal").stat().st_size > 0
        db.execute("ROLLBACK")
    assert content(left) == content(out)
    assert not Path(f"{left}-journal").exists()
    with pytest.raises(HwsimError, match="attempt to write a readonly database"):
        read_sweep(out, "DELETE FROM point")


def test_any_executor_gives_the_same_table(model: str, tmp_path: Path) -> None:
    points = grid(CHIPS, [model], (2, 4, 8), (4, 8))
    sweep(points, tmp_path / "here.db")
    with ThreadPoolExecutor(1) as executor:
        sweep(points, tmp_path / "there.db", executor)
    assert content(tmp_path / "here.db") == content(tmp_path / "there.db")


class Blaming(ThreadPoolExecutor):
    """Workers that die of one point, and take with them whatever else they hold when they do so for the first time."""

    def __init__(self, deadly: str) -> None:
        super().__init__(1)
        self.deadly, self.alive = deadly, set[str]()

    def submit(self, task: Any, batches: Any, version: str) -> Any:  # type: ignore[override]
        words = {w for points in batches for w in points.precisions}
        dies = self.deadly in words or not words <= self.alive
        self.alive |= words if len(words) == 1 else set()
        return super().submit(_die if dies else task, batches, version)


def _die(batches: Any, version: str) -> Any:
    raise RuntimeError("killed")


def test_a_deadly_point_is_found_and_no_other_blamed(model: str, tmp_path: Path) -> None:
    with Blaming("w5a8") as executor:
        counts = sweep(grid(CHIPS, [model], (2, 3, 4, 5, 8), (8,)), tmp_path / "s.db", executor)
    assert (counts.now, counts.failed) == (10, 2)
    _, rows = read_sweep(tmp_path / "s.db", "SELECT precision, message FROM sweep WHERE status = 'failed'")
    assert rows == [("w5a8", "RuntimeError: killed")] * 2


def test_workers_of_another_version_are_refused(model: str, tmp_path: Path) -> None:
    class Other(ThreadPoolExecutor):
        def submit(self, task: Any, batches: Any, version: str) -> Any:  # type: ignore[override]
            return super().submit(task, pickle.loads(pickle.dumps(batches)), "0.0.1")

    with Other(1) as executor, pytest.raises(HwsimError, match=r"workers: must have hwsim 0.0.1, not 0.1"):
        sweep(grid(CHIPS, [model], (8,), (8,)), tmp_path / "s.db", executor)
    fault = HwsimError("a", "must be b", 3, "d")
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault) == "a: must be b, not 3; d"


def test_a_fault_of_ours_is_recorded_too(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(context: Context, precision: Any) -> Any:
        raise AssertionError("tiles cover the layer")

    monkeypatch.setattr("hwsim.decide.points._priced", fail)
    assert sweep(grid(CHIPS, [model], (8,), (8,)), tmp_path / "s.db").failed == 2
    found = hwsim.read_sweep(tmp_path / "s.db")["message"]
    assert found == ["a bug in hwsim, please report it: AssertionError: tiles cover the layer"] * 2


def test_points_given_twice_are_done_once(model: str, tmp_path: Path) -> None:
    assert sweep(grid((*CHIPS, CHIPS[0]), [model], (8,), (8,)), tmp_path / "s.db") == sweep_module.Counts(0, 2, 0)


def test_mixed_assignments_are_scored_bit_true(tmp_path: Path) -> None:
    names = [str(WORKLOADS / f"digits_{n}") for n in ("resnet_float.onnx", "test.npz", "calibration.npz")]
    points = grid(
        ["bitfusion_16x32"], names[:1], (2, 8), (8,), data=names[1], calibration=names[2], samples=100, methods=("minmax",), mixed=3
    )
    sweep(points, tmp_path / "s.db")
    found = hwsim.read_sweep(tmp_path / "s.db")
    assert len(set(found["accuracy"])) > 1 and found["scored"] == [100] * 3
    table = hwsim.cost_table(hwsim.load_arch("bitfusion_16x32"), hwsim.load_model(names[0]), (2, 8), (8,))
    assert found["cycles"] == table.evaluate(np.array(points[0].choices))[:, 0].tolist()


def test_evaluate_is_the_workers_whole_task(model: str) -> None:
    assert [row[3] for row in evaluate(Points(Context("snpe_dsp", model, (), "full", "", "", 0, (4, 8), (8,)), ("w4a8", "w8a8")))] == [
        "ok",
        "ok",
    ]


# Faults ------------------------------------------------------------------------------------------------------------------------------


def command(model: str, out: Path, *more: str) -> list[str]:
    axes = ("--bits", "w=2..8,a=2..8", "--arch", CHIPS[0], "--arch", CHIPS[1])
    return [sys.executable, "-m", "hwsim.cli", "sweep", "--model", model, "-o", str(out), *axes, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(words: list[str]) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, env=environment(), text=True, start_new_session=True, **pipes)


def more_than(out: Path, before: int, run: subprocess.Popen[str]) -> None:
    """Wait until a run has done more points, or has ended."""
    until(lambda: counted(out) > before or run.poll() is not None)


def whole(model: str, path: Path) -> list[tuple[Any, ...]]:
    sweep(grid(CHIPS, [model], range(2, 9), range(2, 9)), path)
    return content(path)


@pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["here", "workers"])
def test_interrupted(more: tuple[str, ...], model: str, tmp_path: Path) -> None:
    """As a terminal does it: the workers hear of it too, and say nothing."""
    if more:
        pytest.importorskip("distributed")
    out = tmp_path / "s.db"
    run = start(command(model, out, "--vary", "clock.frequency=1kHz..1000000kHz", *more))
    until(lambda: counted(out) > 0 or run.poll() is not None)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate()
    assert said == f"hwsim: interrupted; what was done is in {out}, and the same command goes on from there\n"
    assert run.returncode == 130
    assert counted(out) > 0
    with closing(sqlite3.connect(out)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def counted(out: Path) -> int:
    try:
        return int(read_sweep(out, "SELECT count(*) FROM point")[1][0][0])
    except HwsimError:
        return 0


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens at the latest when a process ends, however slow the machine is."""
    while not condition():
        time.sleep(0.02)


def test_full_disk_and_read_only_folder_are_told(model: str, tmp_path: Path) -> None:
    out = tmp_path / "s.db"
    code = "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    code += "; resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); runpy.run_module('hwsim.cli', run_name='__main__')"
    words = [sys.executable, "-c", code, *command(model, out, "--bits", "w=2,4,8,a=8", "--mixed", "2000")[3:]]
    run = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert run.returncode == 2
    assert "must be a sweep file that can be written, not one of which SQLite says" in run.stderr.splitlines()[-1]
    missing = subprocess.run(command(model, Path("/proc/none/s.db")), env=environment(), capture_output=True, text=True)
    assert missing.returncode == 2 and len(missing.stderr.splitlines()) == 1


@pytest.mark.slow
def test_thirty_kills_of_the_driver_change_nothing(model: str, tmp_path: Path) -> None:
    wanted, chance, out = whole(model, tmp_path / "whole.db"), random.Random(0), tmp_path / "s0.db"
    for kill in range(30):
        before = counted(out)
        run = start(command(model, out))
        more_than(out, before, run)
        time.sleep(chance.random() * 0.02)
        _end(run)
        assert set(content(out)) <= set(wanted)
        if counted(out) == len(wanted):
            out = tmp_path / f"s{kill + 1}.db"
    sweep(grid(CHIPS, [model], range(2, 9), range(2, 9)), out)
    assert content(out) == wanted


@pytest.mark.slow
def test_killed_workers_and_scheduler_change_nothing(model: str, tmp_path: Path) -> None:
    """A real scheduler and real workers: workers killed at random moments and replaced, then the scheduler itself."""
    pytest.importorskip("distributed")
    wanted, out, chance = whole(model, tmp_path / "whole.db"), tmp_path / "s.db", random.Random(1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with ExitStack() as stack:
        scheduler = dask(stack, "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")
        workers = [worker(stack, address) for _ in range(2)]
        run = start(command(model, out, "--scheduler", address))
        for _ in range(2):
            before = counted(out)
            more_than(out, before, run)
            os.killpg(workers.pop(chance.randrange(2)).pid, signal.SIGKILL)
            workers.append(worker(stack, address))
        before = counted(out)
        more_than(out, before, run)
        os.killpg(scheduler.pid, signal.SIGKILL)
        _, complaint = run.communicate()
        assert run.returncode in (0, 2), complaint
        if run.returncode:
            assert "run the same command again" in complaint.splitlines()[-1]
    assert counted(out) > 0
    sweep(grid(CHIPS, [model], range(2, 9), range(2, 9)), out)
    assert content(out) == wanted


def worker(stack: ExitStack, address: str) -> subprocess.Popen[str]:
    return dask(stack, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "600")


def dask(stack: ExitStack, *words: str) -> subprocess.Popen[str]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]], env=environment(), start_new_session=True, **quiet
    )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_point_that_kills_its_worker_is_isolated(model: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    from hwsim.io.cluster import cluster

    context = Context("snpe_dsp", model, weight_bits=tuple(range(2, 9)), activation_bits=(8,))
    words = ("w4a8", Deadly("w5a8", os.getpid()), "w8a8")
    out = tmp_path / "s.db"
    with cluster(workers=1) as executor:
        counts = sweep([Points(context, words)], out, executor)
    assert (counts.now, counts.failed) == (3, 1)
    _, rows = read_sweep(out, "SELECT precision, message FROM sweep WHERE status = 'failed'")
    assert rows[0][0] == "w5a8" and "KilledWorker" in rows[0][1]
