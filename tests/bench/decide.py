"""Speed of decisions: cost tables, assignments, searches, rounding and sweeps, each against what is wanted; writes reports/decide.md.

Seconds are of this process's CPU, on whatever else the machine does; a sweep's are of its whole process, start and end included; those
from Ctrl-C to the end of a command are of the wall clock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import numpy as np

import hwsim
from hwsim.allocation import Allocation, Term
from hwsim.building import flat
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.table import CostTable
from hwsim.graph import Graph
from hwsim.io.onnx_model import write_onnx
from hwsim.quant import Array
from hwsim.quantizing import quantize_for
from hwsim.searches import ilp, pareto
from hwsim.searches._scores import scores
from hwsim.steps.read import read
from hwsim.topologies import build
from tests.bench._clock import Row, processor
from tests.bench._interrupting import worst
from tests.bench._networks import resnet20

REPORT = Path(__file__).resolve().parents[2] / "reports" / "decide.md"
FOUR = (2, 3, 4, 8)
CHIP = "bitfusion_16x32"
MIXED = 1_000_000


@cache
def network(name: str) -> Graph:
    return read(flat(build(name)))


@cache
def table(activation_bits: tuple[int, ...]) -> CostTable:
    found = hwsim.cost_table(hwsim.load_arch(CHIP), network("resnet50"), FOUR, activation_bits)
    assert found.allocation.packed.offset.size
    return found


def seconds(call: Callable[[], Any], rounds: int = 5) -> float:
    """The median CPU time of a call, after one to warm up."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def problem(quantity: str, activation_bits: tuple[int, ...] = (8,)) -> Allocation:
    """ResNet-50 with weights of 2, 3, 4 or 8 bits: the least loss, and one quantity of the chip.

    The loss of a layer is that of HAWQ-V2, trace x squared perturbation, with a trace drawn from a log-normal law and a perturbation that
    falls by four with every bit: what a search costs does not depend on whose numbers they are.
    """
    own, at, rng = table(activation_bits), QUANTITIES.index(quantity), np.random.default_rng(0)
    costs = [Term(t.variables, np.stack([np.zeros_like(t.values[at]), t.values[at]])) for t in own.allocation.terms]
    losses = [np.array([4.0**-b * trace for b in o]) for o, trace in zip(own.options, rng.lognormal(0, 1.5, len(own.options)), strict=True)]
    terms = [*costs, *(Term((v,), np.stack([loss, np.zeros_like(loss)])) for v, loss in enumerate(losses))]
    return Allocation(own.allocation.options, ("loss", quantity), tuple(terms), (np.inf, np.inf))


def halfway(p: Allocation) -> Allocation:
    """The same with a limit in the middle between the narrowest and the widest network."""
    ends = np.array([[0] * len(p.options), [n - 1 for n in p.options]], np.uint8)
    return replace(p, limits=(np.inf, float(scores(p, ends)[:, 1].mean())))


# rows


def assignments() -> Iterator[Row]:
    for activation_bits in ((8,), FOUR):
        own, rng = table(activation_bits), np.random.default_rng(0)
        choices = np.stack([rng.integers(0, len(o), 500_000, np.uint8) for o in own.options], 1)
        rate = len(choices) / seconds(lambda own=own, choices=choices: own.evaluate(choices)) / 1e6  # type: ignore[misc]
        chosen = sum(len(o) > 1 for o in own.options)
        yield Row(f"`table.evaluate`, ResNet-50, {chosen} widths to choose", rate, 5, 5, f"{len(QUANTITIES)} quantities each", "M/s")


def linear_programs() -> Iterator[Row]:
    for quantity in ("energy_pj", "cycles", "size_bits"):
        p = halfway(problem(quantity))
        taken = seconds(lambda p=p: ilp.search(p)) * 1e3  # type: ignore[misc]
        yield Row(f"`ilp`, ResNet-50, 4 widths, limit on {quantity}", taken, 50, 50, "proven best by HiGHS", "ms", less=True)


def fronts() -> Iterator[Row]:
    for widths, activation_bits in (("widths", (8,)), ("weight x 4 activation widths", FOUR)):
        for quantity in ("energy_pj", "cycles", "size_bits"):
            p = problem(quantity, activation_bits)
            found = pareto.front(p)
            taken = seconds(lambda p=p: pareto.front(p), 3)  # type: ignore[misc]
            what = f"`pareto.front`, ResNet-50, 4 {widths}, loss and {quantity}"
            yield Row(what, taken, 2, 2, f"{found.told(p)}, {len(found.choices)} points", "s", less=True)


def lookup_table() -> Iterator[Row]:
    graph, arch = network("mobilenet_v2"), hwsim.load_arch("haq_bit_serial")
    shapes: list[Array] = []
    taken = seconds(lambda: shapes.append(hwsim.cost_table(arch, graph, range(1, 9), range(1, 9)).cells("cycles")), 3)
    yield Row("HAQ's table, MobileNetV2", taken, 1, 1, " x ".join(map(str, shapes[0].shape)), "s", less=True)


def sensitivities() -> Iterator[Row]:
    own, arch = resnet20().first(500), hwsim.load_arch("fbgemm_x86")
    with tempfile.TemporaryDirectory() as folder:
        data, calibration, model = (Path(folder) / n for n in ("data.npz", "calibration.npz", "resnet20.onnx"))
        np.savez(data, x=own.x, y=own.y)
        np.savez(calibration, x=own.calibration)
        write_onnx(own.source, model)
        start = time.process_time()
        found = hwsim.sensitivity(arch, hwsim.load_model(model), data, calibration, FOUR, FOUR, samples=500)
        taken = time.process_time() - start
    yield Row("sensitivity of ResNet-20, 4 widths, 500 images", taken, 60, 60, f"{len(found.rows)} bit-true runs", "s", less=True)


def rounding() -> Iterator[Row]:
    own, arch = resnet20(), hwsim.load_arch("fbgemm_x86")
    for method in ("adaround", "full"):
        taken = seconds(lambda method=method: quantize_for(arch, own.source, own.calibration, "w4a8", method), 1)  # type: ignore[misc]
        yield Row(f"method `{method}` of ResNet-20, w4a8", taken, 60, 20, f"{len(own.calibration)} images", "s", less=True)


def sweeps() -> Iterator[Row]:
    """A million points into a file, and the same command again."""
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(build("resnet50"), Path(folder) / "resnet50.onnx")
        words = ["sweep", "--arch", CHIP, "--model", f"{folder}/resnet50.onnx", "--bits", "w=2,3,4,8,a=4,8", "-o", f"{folder}/s.db"]
        for what, must in (("sweep of a million mixed ResNet-50s", 60), ("the same again, all known", 5)):
            start = getrusage(RUSAGE_CHILDREN)
            said = subprocess.run([sys.executable, "-m", "hwsim.cli", *words, "--mixed", str(MIXED)], check=True, capture_output=True)
            end = getrusage(RUSAGE_CHILDREN)
            taken = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
            yield Row(what, taken, must, must, said.stdout.decode().partition(":")[0].replace(" were there", ""), "s", less=True)


def interruptions() -> Iterator[Row]:
    """Ctrl-C while points are listed, priced and written, while a chip computes, and while others compute."""
    with tempfile.TemporaryDirectory() as folder:
        file, model, data = (Path(folder) / n for n in ("s.db", "resnet50.onnx", "images.npz"))
        write_onnx(flat(build("resnet50")), model)
        rng = np.random.default_rng(0)
        np.savez(data, x=rng.normal(size=(64, 3, 224, 224)).astype(np.float32), y=rng.integers(0, 1000, 64))
        words = ["sweep", "--arch", CHIP, "--model", str(model), "-o", str(file), "--bits", "w=2,3,4,8,a=4,8"]
        clocks = ",".join(f"{k}kHz" for k in range(90_000, 99_804))
        grid = [*words[:-1], "w=2..8,a=2..8", "--vary", f"clock.frequency={clocks}", "--vary", "memories.wbuf.size=16KiB,32KiB"]
        judged = [*words, "--data", str(data), "--calibration", str(data), "--method", "minmax"]
        mixed = [*words, "--mixed", str(MIXED)]
        for what, given, moments in (
            ("a million mixed ResNet-50s", mixed, (1, 2, 4, 6)),
            ("a grid of a million points", grid, (1, 10, 30)),
            ("bit-true ResNet-50s", judged, (2, 6, 10, 15)),
            ("a million mixed ResNet-50s, 2 workers", [*mixed, "--workers", "2"], (3, 6, 10, 14)),
        ):
            taken, said = worst(given, file, moments)
            yield Row(f"Ctrl-C of a sweep of {what}", taken, 1, 1, said, "s", less=True)


PARTS = {f.__name__: f for f in (assignments, linear_programs, fronts, lookup_table, sensitivities, rounding, sweeps, interruptions)}


def main(arguments: list[str]) -> None:
    """`--only PART` one part alone (writes no report)."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench decide")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args(arguments)
    lines = ["| what | wanted | measured | | |", "|---|---|---|---|---|"]
    for name, part in PARTS.items():
        for row in part() if options.only in (None, name) else ():
            wanted = f"{'at most' if row.less else 'at least'} {row.must:g} {row.unit}" + (
                f", aim {row.aim:g}" if row.aim != row.must else ""
            )
            lines.append(f"| {row.what} | {wanted} | {row.measured:.3g} {row.unit} | {row.verdict} | {row.detail} |")
            print(lines[-1], flush=True)
    if options.only is None:
        title = f"# Speed of decisions on {processor()}, one core\n\n`python -m tests.bench decide`, CPU time.\n\n"
        REPORT.write_text(title + "\n".join(lines) + "\n", "utf-8")
