"""The fastest assignment of two networks at an accuracy, on three chips: a part of reports/mixed.md."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.arch import Arch
from hwsim.decide.budget import Limits, parse_budgets
from hwsim.decide.judge import Judge
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import losses, problem_of
from hwsim.decide.search import Found, Point, Wish, search
from hwsim.decide.sensitivity import Sensitivity
from hwsim.decide.table import CostTable
from hwsim.io.store import Cells
from hwsim.precision import Precision
from hwsim.shelf import load
from hwsim.simulate import price
from tests.bench._mixed_questions import ROUNDINGS, mark, question, rated, shown
from tests.bench._networks import case

__all__ = ["chips"]

CHIPS = ("snpe_dsp", "bitfusion_16x32", "gap9_ne16")
NATIVE = (2, 4, 8), (2, 4, 8)
SEARCHED = {"resnet20": 2000, "retina_unet": 3}  # rows on which the searches keep the accuracy
TITLES = {"resnet20": "ResNet-20", "retina_unet": "U-Net"}
LOST = 1.0  # points below w8a8, or hundredths of Dice


def chips(keep: Path, rows: int, networks: Sequence[str]) -> Iterator[str]:
    """The fastest assignment of each network that loses at most a point, on three chips."""
    yield f"## The fastest assignment within {LOST:g} point (0.01 Dice) of w8a8, three chips"
    yield ""
    yield (
        "The accuracy is kept on the first 2,000 rows (three images); the value shown is that of the other 3,000 (four), which chose\n"
        "nothing: the answer is the fastest of many that were tried, so that what is just within the limit on the first may be outside\n"
        "on these.  Shares are of w8a8; the least MAC cycles are those of w2a2, and the best uniform width is the fastest that keeps\n"
        "the accuracy."
    )
    yield ""
    for network in (n for n in SEARCHED if n in networks):
        yield f"### {TITLES[network]}"
        yield ""
        answers = yield from _chip_rows(network, keep, rows)
        yield from _why(answers)
        yield from _layers(answers)
        if network == "resnet20":  # whose widths are the same on all chips
            yield from _diagonal(answers)


def _chip_rows(network: str, keep: Path, rows: int) -> Generator[str, None, dict[str, Found]]:
    yield "| chip | rounding | assignment | latency | MAC cycles (least) | energy | value, other rows | best uniform, latency | goals |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    answers: dict[str, Found] = {}
    for name in CHIPS:
        for rounding, method in ROUNDINGS.items():
            found = fastest(network, name, method, keep, rows)
            answers[name] = found
            print(network, name, rounding, found.best.costs["cycles"] / found.widest.costs["cycles"], flush=True)
            yield _chip_row(network, name, rounding, found, keep)
    yield ""
    return answers


def fastest(network: str, name: str, method: str, keep: Path, rows: int) -> Found:
    q = question(network, min(rows or SEARCHED[network], SEARCHED[network]), name, method, NATIVE)
    wish = Wish("latency", parse_budgets(f"accuracy=-{LOST:g}"))
    return search(q, wish, rated(network, name, method, NATIVE), keep=keep, look=lambda text: print("   ", text[:100], flush=True))


def _chip_row(network: str, name: str, rounding: str, found: Found, keep: Path) -> str:
    best, widest, table = found.best, found.widest, found.table
    macs = mac_cycles(table, best) / mac_cycles(table, widest)
    uniform = [p for p in found.judged if p.how.startswith("uniform") and _accurate(p, found)]
    cheapest = min(uniform, key=lambda p: p.costs["cycles"], default=widest)
    least = mac_cycles(table, _narrowest(found)) / mac_cycles(table, widest)
    ratio = {q: best.costs[q] / widest.costs[q] for q in ("cycles", "energy_pj")}
    c = case(network)
    other = Judge(replace(found.question, x=c.x[SEARCHED[network] :], y=c.y[SEARCHED[network] :]), Cells(keep))
    cells = [
        name,
        rounding,
        f"{best.how}, mean w{best.weight_bits:.2f} a{best.activation_bits:.2f}",
        f"{ratio['cycles']:.3f}",
        f"{macs:.3f} ({least:.3f})",
        f"{ratio['energy_pj']:.3f}",
        shown(other.sequential(best.precision), other.sequential(widest.precision), c.metric == "dice"),
        f"{cheapest.how}: {cheapest.costs['cycles'] / widest.costs['cycles']:.3f}",
        _goals(best.costs["cycles"] <= cheapest.costs["cycles"], macs, least, rounding),
    ]
    return f"| {' | '.join(cells)} |"


def _goals(never: bool, macs: float, least: float, rounding: str) -> str:
    goals = f"not slower than uniform: {'yes' if never else 'MISSED'}"
    if least > 0.99:
        return goals + "; its MACs gain nothing from low bits"
    if rounding == "full":
        goals += f"; MAC cycles at most 0.5 / 0.35: {mark(-macs, -0.5, -0.35)}"
        goals += f", out of reach: w2a2 has {least:.3f}" if least > 0.5 else ""
    return goals


def _accurate(p: Point, found: Found) -> bool:
    return p.verdict is not None and p.verdict.accuracy >= found.widest.verdict.accuracy - LOST / 100 - 1e-12  # type: ignore[union-attr]


def _narrowest(found: Found) -> Point:
    return min(found.uniform, key=lambda p: sum(p.choice))


def mac_cycles(table: CostTable, point: Point) -> int:
    """Cycles in which arrays multiply, over all layers."""
    arch: Arch = table.arch
    return sum(c.busy.get(c.unit, 0) for c in price(arch, table.program(point.choice)).layers if c.macs)


def _why(answers: dict[str, Found]) -> Iterator[str]:
    yield "Latency of the whole network at uniform widths, of w8a8, by the chip's table (what the searches can gain):"
    yield ""
    names = [p.how.removeprefix("uniform ") for p in answers[CHIPS[0]].uniform]
    yield "| chip | " + " | ".join(names) + " |"
    yield "| --- |" + " --- |" * len(names)
    for name, found in answers.items():
        yield f"| {name} | " + " | ".join(f"{p.costs['cycles'] / found.widest.costs['cycles']:.3f}" for p in found.uniform) + " |"
    yield ""


def _layers(answers: dict[str, Found]) -> Iterator[str]:
    """What each chip gave each layer, and what the layer's latency is of its w8a8."""
    yield "Why the answers differ (full pipeline): the widths of each layer, its latency as a share of that at w8a8, and in brackets the"
    yield "share at w2a2: where narrow widths give nothing there is nothing to choose them for."
    yield ""
    yield "| layer | " + " | ".join(answers) + " |"
    yield "| --- |" + " --- |" * len(answers)
    columns = [_column(f) for f in answers.values()]
    yield from (f"| {name} | " + " | ".join(c.get(name, "") for c in columns) + " |" for name in columns[0])
    yield ""


def _column(found: Found) -> dict[str, str]:
    table, narrow = found.table, found.table.choice(Precision((2, 2)))
    runs = [price(table.arch, table.program(c)).layers for c in (found.best.choice, found.widest.choice, narrow)]
    cells = {}
    for best, wide, least in zip(*([c for c in layers if c.macs] for layers in runs), strict=True):
        shares = [c.total_cycles / wide.total_cycles for c in (best, least)]
        cells[best.name] = f"w{best.weight_bits}a{best.activation_bits}: {shares[0]:.2f} ({shares[1]:.2f})"
    return cells


def _diagonal(answers: dict[str, Found]) -> Iterator[str]:
    """Assignments for one chip priced on the others, at the same foretold loss."""
    yield "Assignments found for one chip (rows) priced on the others (columns): latency of w8a8.  All lose at most the same foretold KL,"
    yield "by the sensitivity measured on bitfusion_16x32, so that only the chips differ (HAQ's table 3)."
    yield ""
    tables = {n: f.table for n, f in answers.items()}
    common = answers["bitfusion_16x32"].sensitivity
    prices = priced_on_others(tables, common)
    yield "| found for | " + " | ".join(tables) + " | best on its own |"
    yield "| --- |" + " --- |" * (len(tables) + 1)
    for i, name in enumerate(tables):
        best = prices[i, i] == prices[:, i].min()
        yield f"| {name} | " + " | ".join(f"{v:.4f}" for v in prices[i]) + f" | {'yes' if best else 'NO'} |"
    yield ""


def priced_on_others(tables: dict[str, CostTable], measured: Sensitivity) -> np.ndarray:
    """Latencies (chips found for, chips priced on) of each chip's fastest assignment at a loss, of its w8a8."""
    found = []
    for table in tables.values():
        rows = losses(table, measured, "kl")
        limit = 0.02 * sum(float(r[0]) for r in rows)
        best = load("searches", "ilp").search(problem_of(table, rows, Limits({"loss": limit}), "cycles"))[0]
        found.append(table.precision(best))
    at = QUANTITIES.index("cycles")
    prices = [[t.evaluate(np.array([t.choice(p)], np.uint8))[0, at] for t in tables.values()] for p in found]
    widest = [t.evaluate(np.array([[len(o) - 1 for o in t.options]], np.uint8))[0, at] for t in tables.values()]
    return np.array(prices) / widest
