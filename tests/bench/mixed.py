"""Mixed precision on real networks, bit-true: writes reports/mixed.md.

`python -m tests.bench mixed [--keep FILE] [--only PART,...] [--networks NAME,...] [--rows N]`: parts are bitops, chips and
metrics, networks those of bitops.  Every run that the file holds already is taken from it, so that a bench that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr

from hwsim.arch import Arch
from hwsim.decide.budget import Limits, parse_budgets
from hwsim.decide.judge import Judge, Verdict
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import losses, problem_of
from hwsim.decide.search import Found, Point, Wish, search
from hwsim.decide.sensitivity import METRICS, Row, Sensitivity, sensitivity
from hwsim.decide.study import Question
from hwsim.decide.table import CostTable
from hwsim.io.store import Cells
from hwsim.precision import Precision
from hwsim.shelf import load
from hwsim.simulate import price
from tests.bench._cells import chip
from tests.bench._networks import MEAN, STD, case
from tests.data import loaders

REPORT = Path(__file__).resolve().parents[2] / "reports" / "mixed.md"
ROUNDINGS = {"nearest": "mse", "full": "dead+cle+mse+coordinate_descent+bias"}
BITOPS = {"resnet20": ((16, (4, 4)), (8, (2, 4))), "retina_unet": ((9, (3, 3)),)}
CHIPS = ("snpe_dsp", "bitfusion_16x32", "gap9_ne16")
WIDTHS = (2, 3, 4, 8), (3, 4, 8)
NATIVE = (2, 4, 8), (2, 4, 8)
SEARCHED = 2000  # rows on which the chips' searches keep the accuracy
LOST = 1.0  # points below w8a8 on the chips
CANDIDATES = {"nearest": 8, "full": 24}  # quantized and compared for each row
DRAWN = 24  # random assignments for the additive model


@cache
def question(network: str, rows: int, arch: str, method: str, widths: tuple[tuple[int, ...], tuple[int, ...]]) -> Question:
    """Judged on the rows of the quantization bench."""
    c = case(network)
    c = c.first(rows) if rows and network != "retina_unet" else c
    return Question(chip(arch), c.source, c.calibration, c.x, c.y, *widths, method, c.metric)


@cache
def rated(network: str, arch: str, method: str, widths: tuple[tuple[int, ...], tuple[int, ...]], samples: int = 500) -> Question:
    """The same question on what the sensitivity sees: labelled training images, or the crops that calibrate."""
    q = question(network, 0, arch, method, widths)
    if network == "retina_unet":
        return replace(q, x=q.calibration, y=np.zeros((len(q.calibration), *q.calibration.shape[2:]), np.uint8))
    images, labels = loaders().cifar10_calib()
    x = ((images[500 : 500 + samples] / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    return replace(q, x=np.ascontiguousarray(x, np.float32), y=labels[500 : 500 + samples])


def shown(v: Verdict, other: Verdict, dice: bool) -> str:
    """A verdict's value with the paired difference to another and its standard error, in points (Dice: as it is)."""
    scale, digits = (1, 4) if dice else (100, 2)
    d, e = v.beyond(other)
    return f"{scale * v.accuracy:.{digits}f} ({scale * d:+.{digits}f} ± {scale * e:.{digits}f})"


def mark(value: float, must: float, aim: float) -> str:
    """What of a goal is met, where more is better."""
    return "aim" if value >= aim else "must" if value >= must else "MISSED"


# BitOps ------------------------------------------------------------------------------------------------------------------------------


def bitops(keep: Path, rows: int, networks: Sequence[str]) -> Iterator[str]:
    """The best assignments at a number of bit operations, beside the uniform widths of the same number."""
    yield "## At a number of bit operations per multiply-accumulate"
    yield ""
    yield (
        "One scale per channel, graph rule 1 (fbgemm arithmetic); the first and the last layer at 8 bits, and the number is that of the\n"
        "others, so that a uniform width is the limit.  Weights of 2, 3, 4 and 8 bits, activations of 3, 4 and 8.  The answers are those\n"
        "of `hwsim search` by the ILP on KL: of several candidates (8 with nearest rounding, 24 with the full pipeline), from which it\n"
        "learns the loss, the one nearest to the float network, by KL, on the samples of the sensitivity: 1,000 training images, or the\n"
        "crops that calibrate.  In brackets: against w8a8 by the same rounding."
    )
    yield ""
    yield "| network | rounding | BitOps per MAC | assignment | weight bits | KL, samples seen | value | against uniform | goals |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for network, budgets in ((n, b) for n, b in BITOPS.items() if n in networks):
        for name, method in ROUNDINGS.items():
            yield from _bitops_rows(network, name, method, budgets, keep, rows)
    yield ""


def _bitops_rows(
    network: str, name: str, method: str, budgets: Sequence[tuple[int, tuple[int, int]]], keep: Path, rows: int
) -> Iterator[str]:
    q, seen = question(network, rows, "per_channel", method, WIDTHS), rated(network, "per_channel", method, WIDTHS, 1000)
    judge, quick, dice = Judge(q, Cells(keep)), Judge(seen, Cells(keep)), q.metric == "dice"
    widest = judge.sequential(Precision((8, 8)))
    print(network, name, "w8a8", widest.accuracy, flush=True)
    yield f"| {network} | {name} | 64 | w8a8 | 8 | | {shown(widest, judge.real(), dice)} against float | | |"
    for number, widths in budgets:
        uniform, kl = judge.sequential(Precision(widths)), quick.sequential(Precision(widths)).kl
        found = most_accurate(q, seen, widths, CANDIDATES[name], keep)
        verdict, best_kl = judge.sequential(found.best.precision), quick.sequential(found.best.precision).kl
        bits = _mean_weight_bits(q.table, np.array(found.best.choice))
        print(network, name, number, verdict.accuracy, uniform.accuracy, best_kl, kl, found.best.precision, flush=True)
        plain = f"uniform w{widths[0]}a{widths[1]} | {widths[0]} | {kl:.3f}"
        yield f"| {network} | {name} | {number} | {plain} | {shown(uniform, widest, dice)} | | |"
        over = shown_difference(verdict, uniform, dice)
        goal = _goal(network, number, verdict, uniform, widest) if name == "full" else ""
        answer = f"{_name(found, widths)} | {bits:.2f} | {best_kl:.3f}"
        yield f"| {network} | {name} | {number} | {answer} | {shown(verdict, widest, dice)} | {over} | {goal} |"


def most_accurate(q: Question, seen: Question, widths: tuple[int, int], candidates: int, keep: Path) -> Found:
    """The search's answer at the bit operations of a uniform width."""
    uniform = np.array([q.table.choice(Precision(widths))], np.uint8)
    limit = float(q.table.evaluate(uniform)[0, QUANTITIES.index("bitops")])
    wish = Wish(budgets=parse_budgets(f"bitops={limit!r}"), candidates=candidates)
    found = search(q, wish, seen, keep=keep)
    for p in found.judged:
        assert p.rated is not None
        print(f"   {p.how}: foretold {p.loss:.4f}, KL {p.rated.kl:.4f}, {p.rated.accuracy:.4f}", flush=True)
    return found


def _name(found: Found, widths: tuple[int, int]) -> str:
    uniform = list(found.best.choice) == found.table.choice(Precision(widths))
    return "the search answers the uniform width" if uniform else f"mixed, the best of {len(found.judged)}"


def shown_difference(a: Verdict, b: Verdict, dice: bool) -> str:
    scale, digits = (1, 4) if dice else (100, 2)
    d, e = a.beyond(b)
    return f"{scale * d:+.{digits}f} ± {scale * e:.{digits}f}"


def _goal(network: str, number: int, found: Verdict, uniform: Verdict, widest: Verdict) -> str:
    over, lost = found.beyond(uniform)[0], -found.beyond(widest)[0]
    if network == "retina_unet":
        return f"loss at most 0.008 / 0.006: {mark(-lost, -0.008, -0.006)}"
    if number == 16:
        return f"loss at most 2.0 / 1.0: {mark(-100 * lost, -2, -1)}; not below w4a4: {'yes' if over >= 0 else 'MISSED'}"
    return f"gain at least 2 / 4: {mark(100 * over, 2, 4)}"


def _mean_weight_bits(table: CostTable, choice: np.ndarray) -> float:
    """Over all weights but those of the first and last layer."""
    at = [v for v, w in enumerate(table.widths) if w.kind == "weights" and w.least < 8]
    sizes = [table.graph.tensors[table.widths[v].tensors[0]].elements for v in at]
    return float(np.average([table.options[v][choice[v]] for v in at], weights=sizes))


# Chips -------------------------------------------------------------------------------------------------------------------------------


def chips(keep: Path, rows: int, networks: Sequence[str]) -> Iterator[str]:
    """The fastest assignment of ResNet-20 that loses at most a point, on three chips."""
    yield f"## The fastest assignment within {LOST:g} point of w8a8, ResNet-20, three chips"
    yield ""
    yield (
        f"The accuracy is kept on the first {SEARCHED} rows; the top-1 shown is that of the other 3,000, which chose nothing.\n"
        "Shares are of w8a8; the least MAC cycles are those of w2a2, and the best uniform width is the fastest that keeps the accuracy."
    )
    yield ""
    yield "| chip | rounding | assignment | latency | MAC cycles (least) | energy | top-1, other rows | best uniform, latency | goals |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    answers: dict[str, Found] = {}
    for name in CHIPS:
        for rounding, method in ROUNDINGS.items():
            found = fastest(name, method, keep, rows)
            answers[name] = found
            print(name, rounding, found.best.costs["cycles"] / found.widest.costs["cycles"], flush=True)
            yield _chip_row(name, rounding, found, keep)
    yield ""
    yield from _why(answers)
    yield from _layers(answers)
    yield from _diagonal(answers)


def fastest(name: str, method: str, keep: Path, rows: int) -> Found:
    q = question("resnet20", rows or SEARCHED, name, method, NATIVE)
    wish = Wish("latency", parse_budgets(f"accuracy=-{LOST:g}"))
    return search(q, wish, rated("resnet20", name, method, NATIVE), keep=keep, look=lambda text: print("   ", text[:100], flush=True))


def _chip_row(name: str, rounding: str, found: Found, keep: Path) -> str:
    best, widest, table = found.best, found.widest, found.table
    macs = mac_cycles(table, best) / mac_cycles(table, widest)
    uniform = [p for p in found.judged if p.how.startswith("uniform") and _accurate(p, found)]
    cheapest = min(uniform, key=lambda p: p.costs["cycles"], default=widest)
    least = mac_cycles(table, _narrowest(found)) / mac_cycles(table, widest)
    never = best.costs["cycles"] <= cheapest.costs["cycles"]
    goals = f"not slower than uniform: {'yes' if never else 'MISSED'}"
    if least > 0.99:
        goals += "; no gain from low bits on this chip"
    elif rounding == "full":
        goals += f"; MAC cycles at most 0.5 / 0.35: {mark(-macs, -0.5, -0.35)}"
        goals += f", out of reach: w2a2 has {least:.3f}" if least > 0.5 else ""
    ratio = {q: best.costs[q] / widest.costs[q] for q in ("cycles", "energy_pj")}
    q = found.question
    judge = Judge(replace(q, x=case("resnet20").x[SEARCHED:], y=case("resnet20").y[SEARCHED:]), Cells(keep))
    cells = [
        name,
        rounding,
        f"{best.how}, mean w{best.weight_bits:.2f} a{best.activation_bits:.2f}",
        f"{ratio['cycles']:.3f}",
        f"{macs:.3f} ({least:.3f})",
        f"{ratio['energy_pj']:.3f}",
        shown(judge.sequential(best.precision), judge.sequential(widest.precision), False),
        f"{cheapest.how}: {cheapest.costs['cycles'] / widest.costs['cycles']:.3f}",
        goals,
    ]
    return f"| {' | '.join(cells)} |"


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


# Metrics -----------------------------------------------------------------------------------------------------------------------------


def metrics(keep: Path, rows: int, networks: Sequence[str]) -> Iterator[str]:
    """How well each metric of sensitivity ranks widths as the loss on unseen rows does, and whether KL adds up."""
    yield "## Which metric of sensitivity tells the loss"
    yield ""
    yield "Spearman's rank correlation with the change of cross-entropy on 1,000 unseen rows, ResNet-20, weights at 2, 3 and 4 bits,"
    yield "bit-true on the chip of one scale per channel; metrics on 500 labelled training images, traces on 100 of them."
    yield ""
    yield "| metric | " + " | ".join(f"{r}: all | within 2 bits | within 4 bits" for r in ROUNDINGS) + " |"
    yield "| --- |" + " --- | --- | --- |" * len(ROUNDINGS)
    columns: dict[str, list[str]] = {m: [] for m in METRICS}
    added = []
    for rounding, method in ROUNDINGS.items():
        seen = sensitivity(rated("resnet20", "per_channel", method, WIDTHS), trace=True, keep=keep)
        q = question("resnet20", 1000, "per_channel", method, WIDTHS)
        truth = sensitivity(q, keep=keep)
        for m in METRICS:
            columns[m] += [f"{v:.2f}" for v in _correlations(seen, truth, m)]
        added.append(f"{rounding}: " + _additive(rated("resnet20", "per_channel", method, WIDTHS), seen, keep))
        print(rounding, {m: c[-3] for m, c in columns.items()}, added[-1], flush=True)
    for m, cells in columns.items():
        yield f"| {m} | " + " | ".join(cells) + " |"
    yield ""
    yield f"Sum of the single KL divergences against that of the whole, {DRAWN} random assignments of weights (in one shot). " + " ".join(
        added
    )
    yield ""


def _correlations(seen: Sensitivity, truth: Sensitivity, metric: str) -> list[float]:
    found = []
    for bits in ((2, 3, 4), (2,), (4,)):
        rows = [r for r in seen.rows if r.kind == "weights" and r.bits in bits]
        real = [_grown(truth.by_cell[r.width, r.bits], truth) for r in rows]
        found.append(float(spearmanr([METRICS[metric](r) for r in rows], real).statistic))
    return found


def _grown(row: Row, truth: Sensitivity) -> float:
    return (row.loss or 0.0) - (truth.widest.loss or 0.0)


def _additive(q: Question, seen: Sensitivity, keep: Path) -> str:
    table, judge, rng = q.table, Judge(q, Cells(keep)), np.random.default_rng(0)
    rows, sums, joint = losses(table, seen, "kl"), [], []
    for _ in range(DRAWN):
        choice = [
            int(rng.integers(len(o))) if w.kind == "weights" else len(o) - 1 for w, o in zip(table.widths, table.options, strict=True)
        ]
        sums.append(sum(float(r[o]) for r, o in zip(rows, choice, strict=True)))
        joint.append(judge.one_shot(table.precision(choice)).kl - seen.widest.kl)
    return f"Pearson {pearsonr(sums, joint).statistic:.3f}, joint over sum {np.median(np.array(joint) / sums):.2f} in the median."


# -------------------------------------------------------------------------------------------------------------------------------------

PARTS = {"bitops": bitops, "metrics": metrics, "chips": chips}
HEAD = """# Mixed precision on real networks, bit-true

Written by `python -m tests.bench mixed`.  Every value comes from the integers that the chip would compute, on rows that neither
calibrated nor chose the widths; every assignment is quantized layer after layer before it is judged.  Rounding to nearest is MSE ranges
without bias correction; the full pipeline removes dead channels, equalizes, and rounds by coordinate descent with bias correction.
CIFAR values are top-1 in % on JPEG-damaged test images with the standard error of the paired difference; the U-Net's are Dice, the mean
over seven images.
"""


def main(arguments: list[str]) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench mixed", description=__doc__)
    parser.add_argument("--keep", type=Path, default=Path("reports") / "mixed-cells" / "cells.db")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--networks", default=",".join(BITOPS))
    parser.add_argument("--rows", type=int, default=0)
    given = parser.parse_args(arguments)
    lines = [HEAD]
    networks = given.networks.split(",")
    for part, measure in PARTS.items():
        absent = f"Not measured on this page: `python -m tests.bench mixed --only {part}`.\n"
        lines += measure(given.keep, given.rows, networks) if part in given.only.split(",") else [absent]
    lines += [f"Not measured on this page: {n}.\n" for n in BITOPS if n not in networks]
    REPORT.write_text("\n".join(lines), "utf-8")
    print(f"wrote {REPORT}")
