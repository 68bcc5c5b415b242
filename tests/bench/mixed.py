"""Mixed precision on real networks, bit-true: writes reports/mixed.md.

`python -m tests.bench mixed [--keep FILE] [--only PART,...] [--networks NAME,...] [--rows N]`: parts are bitops, chips and
metrics, networks those of bitops.  Every run that the file holds already is taken from it, so that a bench that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr

from hwsim.decide.budget import parse_budgets
from hwsim.decide.judge import Judge, Verdict
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.problem import losses
from hwsim.decide.search import Found, Point, Wish, search
from hwsim.decide.sensitivity import METRICS, Row, Sensitivity, sensitivity
from hwsim.decide.study import Question
from hwsim.decide.table import CostTable
from hwsim.io.store import Cells
from hwsim.precision import Precision
from tests.bench._mixed_chips import chips
from tests.bench._mixed_questions import ROUNDINGS, mark, question, rated, shown

REPORT = Path(__file__).resolve().parents[2] / "reports" / "mixed.md"
BITOPS = {"resnet20": ((16, (4, 4)), (8, (2, 4))), "retina_unet": ((9, (3, 3)),)}
WIDTHS = (2, 3, 4, 8), (3, 4, 8)
CANDIDATES = {"nearest": 8, "full": 24}  # quantized and compared for each row
SEEN = 1500  # labelled training images on which the widths are chosen
DRAWN = 24  # random assignments for the additive model


# BitOps ------------------------------------------------------------------------------------------------------------------------------


def bitops(keep: Path, rows: int, networks: Sequence[str]) -> Iterator[str]:
    """The best assignments at a number of bit operations, beside the uniform widths of the same number."""
    yield "## At a number of bit operations per multiply-accumulate"
    yield ""
    yield (
        "One scale per channel, graph rule 1 (fbgemm arithmetic); the first and the last layer at 8 bits, and the number is that of the\n"
        "others, so that a uniform width is the limit.  Weights of 2, 3, 4 and 8 bits, activations of 3, 4 and 8.  The answers are those\n"
        "of `hwsim search` by the ILP on KL: of up to 8 different candidates with nearest rounding, and 24 with the full pipeline, from\n"
        "which it learns the loss, the one of the least cross-entropy on the samples of the sensitivity, 1,500 labelled training images;\n"
        "of the U-Net, whose calibration crops have no labels, the nearest to the float network by KL.  One shot: every layer as it is\n"
        "quantized in the w8a8 network, which is how the goals' prototype was measured.  In brackets: against w8a8 by the same rounding."
    )
    yield ""
    yield "| network | rounding | BitOps per MAC | assignment | weight bits | KL, samples seen | value | against uniform | goals |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    notes: list[str] = []
    for network, budgets in ((n, b) for n, b in BITOPS.items() if n in networks):
        for name, method in ROUNDINGS.items():
            yield from _bitops_rows(network, name, method, budgets, keep, rows, notes)
    yield from ("", *notes, "")


def _bitops_rows(
    network: str, name: str, method: str, budgets: Sequence[tuple[int, tuple[int, int]]], keep: Path, rows: int, notes: list[str]
) -> Iterator[str]:
    q, seen = question(network, rows, "per_channel", method, WIDTHS), rated(network, "per_channel", method, WIDTHS, SEEN)
    judge, quick = Judge(q, Cells(keep)), Judge(seen, Cells(keep))
    widest = judge.sequential(Precision((8, 8)))
    print(network, name, "w8a8", widest.accuracy, flush=True)
    yield f"| {network} | {name} | 64 | w8a8 | 8 | | {shown(widest, judge.real(), q.metric == 'dice')} against float | | |"
    for number, widths in budgets:
        found = most_accurate(q, seen, widths, CANDIDATES[name], keep)
        yield from Pair(network, name, number, widths, found, found.best, _name(found, widths)).rows(judge.sequential, quick.sequential)
        if name == "full":
            own = Pair(network, "full, one shot", number, widths, found, found.judged[0], "the ILP's answer")
            yield from own.rows(judge.one_shot, quick.one_shot)
        if name == "full" and (network, number) == ("resnet20", 8):
            kl = [quick.sequential(p).kl for p in (found.best.precision, Precision(widths), Precision((4, 4)))]
            lost = [-100 * judge.sequential(p).beyond(widest)[0] for p in (found.best.precision, Precision(widths))]
            notes += _reach(found, widths, kl, lost)


@dataclass(frozen=True)
class Pair:
    """A uniform width and an assignment that was found of the same bit operations."""

    network: str
    rounding: str
    number: int
    widths: tuple[int, int]
    found: Found
    point: Point
    how: str

    def rows(self, run: Callable[[Precision], Verdict], seen: Callable[[Precision], Verdict]) -> Iterator[str]:
        """Both, judged by `run`, with the KL of `seen`."""
        dice, plain, own = self.network == "retina_unet", Precision(self.widths), self.point.precision
        widest, uniform, verdict = (run(p) for p in (Precision((8, 8)), plain, own))
        print(self.network, self.rounding, self.number, verdict.accuracy, uniform.accuracy, own, flush=True)
        start, (w, a) = f"| {self.network} | {self.rounding} | {self.number} |", self.widths
        yield f"{start} uniform w{w}a{a} | {w} | {seen(plain).kl:.3f} | {shown(uniform, widest, dice)} | | |"
        over = shown_difference(verdict, uniform, dice)
        goal = "" if self.rounding == "nearest" else _goal(self.network, self.number, verdict, uniform, widest)
        bits = f"{_mean_weight_bits(self.found.table, np.array(self.point.choice)):.2f} | {seen(own).kl:.3f}"
        yield f"{start} {self.how} | {bits} | {shown(verdict, widest, dice)} | {over} | {goal} |"


def _reach(found: Found, widths: tuple[int, int], kl: Sequence[float], lost: Sequence[float]) -> Iterator[str]:
    """Why the gain over a uniform width is what it is: what is left of its KL and of its loss in points."""
    name, table = f"w{widths[0]}a{widths[1]}", found.table
    uniform = sum(float(r[o]) for r, o in zip(losses(table, found.sensitivity, "kl"), table.choice(Precision(widths)), strict=True))
    least, two, four = min(p.loss for p in found.judged) / uniform, *(1 - gain / lost[1] for gain in (2, 4))
    yield f"How far the gain over {name} can go: the answer keeps {kl[0] / kl[1]:.0%} of its KL, and {lost[0] / lost[1]:.0%} of the"
    yield f"{lost[1]:.2f} points that it loses to w8a8.  To gain 2 points is to keep {two:.0%} of that loss, to gain 4 {four:.0%};"
    yield f"w4a4, at twice the bit operations, keeps {kl[2] / kl[1]:.0%} of the KL.  The least sum of the losses of single widths that"
    yield f"there is at these bit operations, which the ILP finds, is {least:.0%} of the uniform width's."


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
        return (
            f"loss at most 2.0 / 1.0: {mark(-100 * lost, -2, -1)}; not below w4a4: {'yes' if over >= 0 else f'MISSED by {-100 * over:.2f}'}"
        )
    return f"gain at least 2 / 4: {mark(100 * over, 2, 4)}"


def _mean_weight_bits(table: CostTable, choice: np.ndarray) -> float:
    """Over all weights but those of the first and last layer."""
    at = [v for v, w in enumerate(table.widths) if w.kind == "weights" and w.least < 8]
    sizes = [table.graph.tensors[table.widths[v].tensors[0]].elements for v in at]
    return float(np.average([table.options[v][choice[v]] for v in at], weights=sizes))


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

PARTS = {"bitops": bitops, "chips": chips, "metrics": metrics}
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
