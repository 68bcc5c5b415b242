"""The accuracy of post-training quantization on real networks, bit-true on chips: writes reports/quantization.md.

`python -m tests.bench quantization [--keep FOLDER] [--only NETWORK,...] [--rows N] [--dry]`: cells already in the folder are taken
from it, so that a run that was stopped goes on; `--dry` measures nothing and writes what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hwsim.pipeline.recipe import METHODS
from tests.bench._cells import Cell, kept, measure
from tests.bench._experiment import experiment, kept_rows, table
from tests.bench._judge import Verdict, compare
from tests.bench._networks import NETWORKS, SMALL

REPORT = Path(__file__).resolve().parents[2] / "reports" / "quantization.md"
CIFAR, DEPTHWISE = ("resnet20", "resnet8"), ("vww_mobilenet", "kws_ref", "ali_model_kws")
CORRECTED, UNCLIPPED = "dead+cle+mse+bias", "dead+cle+minmax+bias"
EXPONENTS = "dead+cle+mse+coordinate_descent+bias"  # power-of-two scales of weights by the output's error, and rounding to it
LONG_TAILS = ("squeezenet", "retina_unet")  # networks whose few large activations matter: MSE's clipping costs them more than it saves
METHOD_ROWS = {"min-max": "minmax", "MSE": "mse", "AdaRound": "mse+adaround+bias", "coordinate descent": "mse+coordinate_descent+bias"}
GRANULARITY = {"per-channel": "per_channel", "per-tensor": "per_tensor", "power-of-two": "power_of_two"}
BLOCKS = {"layer by layer": "mse+coordinate_descent+bias", "block by block (BRECQ)": "mse+coordinate_descent+brecq+bias"}
BLOCK_NETWORKS = ("kws_ref", "ali_model_kws")
FEW_CHIPS = ("tensorrt_t4", "snpe_dsp", "tvm_arm_a72")
DFQ = {"plain": "minmax", "CLE": "dead+cle+minmax", "CLE + bias correction": "dead+cle+minmax+bias"}
DFQ_GOALS = {"ali_model_kws": ("at most 20", "at least 50", "at least 85"), "vww_mobilenet": ("", "at least 78", "at least 85")}


@dataclass(frozen=True)
class Setting:
    """A row of the acceptance table: what may be lost against float, must and aim, for each network (Dice for the U-Net).

    `unclipped` is the method for networks with long tails, where it is another one.
    """

    title: str
    chip: str
    bits: str
    method: str
    goals: dict[str, tuple[float, float]]
    unclipped: str = ""

    def cell(self, network: str) -> Cell:
        """The cell of a network."""
        method = self.unclipped if self.unclipped and network in LONG_TAILS else self.method
        return Cell(network, self.chip, self.bits, method)


def _goals(
    cifar: object = None, depthwise: object = None, squeezenet: object = None, unet: object = None
) -> dict[str, tuple[float, float]]:
    groups = ((CIFAR, cifar), (DEPTHWISE, depthwise), (("squeezenet",), squeezenet), (("retina_unet",), unet))
    return {n: pair for group, pair in groups if isinstance(pair, tuple) for n in group}


EIGHT = _goals((1, 0.5), (2, 1), (3, 1.5), (0.005, 0.002))
FEW = _goals((1, 0.5), (2.5, 1.5), (3, 1.5), (0.005, 0.002))
FOUR = _goals((1.5, 0.5), (2, 1), (5, 2), (0.005, 0.002)) | {"ali_model_kws": (3, 1.5)}
SETTINGS = (
    Setting("w8a8 acl", "acl_ascend310", "w8a8", "minmax", EIGHT),
    Setting("w8a8 fbgemm", "fbgemm_x86", "w8a8", "minmax", EIGHT),
    Setting("w8a8 tensorrt", "tensorrt_t4", "w8a8", CORRECTED, FEW, UNCLIPPED),
    Setting("w8a8 snpe", "snpe_dsp", "w8a8", CORRECTED, FEW, UNCLIPPED),
    Setting("w8a8 tvm", "tvm_arm_a72", "w8a8", EXPONENTS, FEW | dict.fromkeys(CIFAR, (2, 1))),
    Setting("w4a8 per-channel (fbgemm)", "fbgemm_x86", "w4a8", "full", FOUR),
    Setting("w4a8 snpe", "snpe_dsp", "w4a8", "full", _goals((2.5, 1), (4, 2.5))),
    Setting("w4a8 tensorrt", "tensorrt_t4", "w4a8", "full", _goals((2.5, 1), (4, 2.5))),
    Setting("w4a8 tvm", "tvm_arm_a72", "w4a8", "full", _goals((2.5, 1), (6, 4))),
    Setting("w4a4 (graph 1)", "per_channel", "w4a4", "smoothed", _goals((2.5, 1.5), (3, 2), None, (0.015, 0.005))),
    Setting("w3a8 (graph 1)", "per_channel", "w3a8", "mse+coordinate_descent+bias", _goals((2.5, 1))),
    Setting("w2a8 (graph 1)", "per_channel", "w2a8", "mse+coordinate_descent+bias", {"resnet20": (6, 3.5)}),
)


def cells(network: str) -> Iterator[Cell]:
    """All cells of one network, the float network first."""
    yield Cell(network)
    yield from (s.cell(network) for s in SETTINGS if network in s.goals)
    if network in BLOCK_NETWORKS:
        yield from (Cell(network, "per_channel", "w2a8", m) for m in BLOCKS.values())
    if network in LONG_TAILS:
        yield from (Cell(network, c, "w8a8", CORRECTED) for c in FEW_CHIPS)
    if network in SMALL:
        yield from (Cell(network, "per_channel", "w4a8", m) for m in METHOD_ROWS.values())
        yield from (Cell(network, c, "w4a8", CORRECTED) for c in GRANULARITY.values())
    if network in DFQ_GOALS:
        yield from (Cell(network, "per_tensor", "w4a8", m) for m in DFQ.values())


def main(arguments: list[str]) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench quantization", description=__doc__)
    parser.add_argument("--keep", type=Path, default=Path("reports") / "quantization-cells")
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args(arguments)
    found: dict[Cell, Verdict] = {}
    for network in NETWORKS:
        for cell in cells(network):
            rated = Cell(cell.network, cell.chip, cell.bits, cell.method, given.rows)
            wanted = network in given.only.split(",") and not given.dry
            verdict = measure(rated, given.keep) if wanted else kept(rated, given.keep)
            if verdict is not None:
                found[cell] = verdict
                print(network, cell.chip, cell.bits, cell.method, f"{verdict.value:.4f}", flush=True)
        if network in given.only.split(",") and not given.dry:
            experiment(network, given.keep)
    REPORT.write_text("\n".join([page(found), table(kept_rows(given.keep))]), "utf-8")
    print(f"wrote {REPORT}")


def page(found: dict[Cell, Verdict]) -> str:
    """The report."""
    parts = [HEAD, _floats(found), _acceptance(found), _clipped(found), _methods(found), _blocks(found), _granularity(found), _dfq(found)]
    return "\n".join(parts)


HEAD = """# Post-training quantization on real networks, bit-true

Written by `python -m tests.bench quantization`.  Every number comes from the integers that the chip would compute, through hwsim's integer
executor, on rows that did not calibrate.  Cells: change against the float network on the same rows in points of top-1 (U-Net: of Dice
over all pixels), plus or minus the standard error of that paired difference, and in brackets the share of rows (pixels) with the float
network's answer.  CIFAR rows are JPEG-damaged test images, which lowers absolute accuracy by about 12 points.
"""


def _floats(found: dict[Cell, Verdict]) -> str:
    lines = ["| network | float | rows |", "| --- | --- | --- |"]
    lines += [f"| {n} | {v.value:.4f} | {len(v.hits)} |" for n in NETWORKS if (v := found.get(Cell(n))) is not None]
    return "\n".join([*lines, ""])


def _difference(found: dict[Cell, Verdict], cell: Cell) -> str:
    verdict, plain = found.get(cell), found.get(Cell(cell.network))
    if verdict is None or plain is None:
        return "not measured"
    change, error = compare(verdict, plain)
    digits = 4 if verdict.metric == "dice" else 2
    return f"{change:+.{digits}f} ± {error:.{digits}f} ({100 * (verdict.answer == plain.answer).mean():.1f})"


def _acceptance(found: dict[Cell, Verdict]) -> str:
    lines = [
        "## Against the goals",
        "",
        "| setting | network | method | change (agreement) | must / aim | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for s in SETTINGS:
        for network, (must, aim) in s.goals.items():
            cell = s.cell(network)
            mark = ""
            if cell in found and Cell(network) in found:
                loss = -compare(found[cell], found[Cell(network)])[0]
                mark = "aim" if loss <= aim + 1e-9 else "must" if loss <= must + 1e-9 else "MISSED"
            lines.append(f"| {s.title} | {network} | {cell.method} | {_difference(found, cell)} | {must:g} / {aim:g} | {mark} |")
    named = "; ".join(f"`{k}` is {v}" for k, v in METHODS.items())
    return "\n".join([*lines, "", f"Methods: {named}.", ""])


def _clipped(found: dict[Cell, Verdict]) -> str:
    lines = [
        "On the networks with long tails the methods of the 8-bit rows above were chosen after the first one had been judged on these",
        f"rows, which makes those cells optimistic.  The first one, `{CORRECTED}`, gave:",
        "",
        "| network | " + " | ".join(FEW_CHIPS) + " |",
        "| --- |" + " --- |" * len(FEW_CHIPS),
    ]
    for network in LONG_TAILS:
        lines.append(f"| {network} | " + " | ".join(_difference(found, Cell(network, c, "w8a8", CORRECTED)) for c in FEW_CHIPS) + " |")
    return "\n".join([*lines, ""])


def _order(names: list[str], values: list[float], what: str) -> str:
    """A sentence: whether each is at least the one before."""
    holds = all(a <= b for a, b in pairwise(values))
    return f"{what}: {' <= '.join(names)} {'holds' if holds else 'does NOT hold'} ({', '.join(f'{v:.2f}' for v in values)})."


def _methods(found: dict[Cell, Verdict]) -> str:
    lines = ["## Methods side by side, w4a8, one symmetric scale per channel, graph rule 1", ""]
    names = list(METHOD_ROWS)
    lines += [
        "| network | " + " | ".join(names) + " | MSE - min-max | AdaRound - MSE | AdaRound - coordinate descent |",
        "| --- |" + " --- |" * 7,
    ]
    losses: dict[str, list[float]] = {n: [] for n in names}
    for network in SMALL:
        held = [Cell(network, "per_channel", "w4a8", m) for m in METHOD_ROWS.values()]
        if any(c not in found for c in (Cell(network), *held)):
            continue
        v = [found[c] for c in held]
        pairs = [compare(v[1], v[0]), compare(v[2], v[1]), compare(v[2], v[3])]
        row = [_difference(found, c) for c in held] + [f"{d:+.2f} ± {e:.2f}" for d, e in pairs]
        lines.append(f"| {network} | " + " | ".join(row) + " |")
        for name, verdict in zip(names, v, strict=True):
            losses[name].append(compare(verdict, found[Cell(network)])[0])
    means = " | ".join(f"{np.mean(v):+.2f}" if v else "" for v in losses.values())
    order = [n for n in names if n != "coordinate descent"]
    said = _order(order, [float(np.mean(losses[n])) for n in order], "Mean change") if losses["MSE"] else ""
    return "\n".join([*lines, f"| mean of {len(losses['MSE'])} | {means} | | | |", "", said, ""])


def _blocks(found: dict[Cell, Verdict]) -> str:
    lines = ["## Rounding learned block by block, w2a8, one symmetric scale per channel, graph rule 1", ""]
    lines += ["| network | " + " | ".join(BLOCKS) + " |", "| --- |" + " --- |" * len(BLOCKS)]
    for n in BLOCK_NETWORKS:
        lines.append(f"| {n} | " + " | ".join(_difference(found, Cell(n, "per_channel", "w2a8", m)) for m in BLOCKS.values()) + " |")
    return "\n".join([*lines, ""])


def _granularity(found: dict[Cell, Verdict]) -> str:
    lines = ["## Granularity, w4a8, everything else equal (" + CORRECTED + ", graph rule 1)", ""]
    lines += ["| network | " + " | ".join(GRANULARITY) + " |", "| --- |" + " --- |" * 3]
    shares: dict[str, list[float]] = {c: [] for c in GRANULARITY.values()}
    for network in SMALL:
        held = {c: Cell(network, c, "w4a8", CORRECTED) for c in GRANULARITY.values()}
        if any(c not in found for c in (Cell(network), *held.values())):
            continue
        for c, cell in held.items():
            shares[c].append(100 * float((found[cell].answer == found[Cell(network)].answer).mean()))
        lines.append(f"| {network} | " + " | ".join(_difference(found, c) for c in held.values()) + " |")
    means = " | ".join(f"{np.mean(v):.1f}" if v else "" for v in shares.values())
    order = list(GRANULARITY)[::-1]
    said = _order(order, [float(np.mean(shares[GRANULARITY[n]])) for n in order], "Mean agreement") if shares["per_channel"] else ""
    return "\n".join([*lines, f"| mean agreement | {means} |", "", said, ""])


def _dfq(found: dict[Cell, Verdict]) -> str:
    lines = ["## Data-free quantization's finding, w4a8, one scale per tensor: right answers in %", ""]
    lines += ["| network | " + " | ".join(DFQ) + " | goals |", "| --- |" + " --- |" * 4]
    for network, goals in DFQ_GOALS.items():
        held = [found.get(Cell(network, "per_tensor", "w4a8", m)) for m in DFQ.values()]
        row = ["not measured" if v is None else f"{100 * v.value:.1f}" for v in held]
        lines.append(f"| {network} | " + " | ".join(row) + f" | {', '.join(g for g in goals if g)} |")
    return "\n".join([*lines, "", "Dead channels are removed before equalization.", ""])
