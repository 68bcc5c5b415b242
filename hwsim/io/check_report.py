"""Deployability as text: a row per node, the rules broken, the requantizations added and removed, and whether it fits."""

from __future__ import annotations

import json
import sys
from typing import Any

from hwsim.arch import Arch
from hwsim.cost import Cost
from hwsim.io.text import console, print_table, to_csv
from hwsim.steps.check import CheckReport
from hwsim.steps.place import FALLBACK, Placement
from hwsim.units import format_bytes

__all__ = ["print_check"]

COLUMNS = ("node", "op", "runs_on", "integer", "stored", "runs_as", "why")


def _row(p: Placement) -> list[Any]:
    how = p.reason or (p.carried.how if p.carried and p.carried.how != "native" else "")
    return [
        p.node.name,
        str(p.node.attrs.get("function", p.node.op)),
        p.unit or "none",
        p.step.integer and p.unit != FALLBACK,
        p.stored,
        p.runs,
        how,
    ]


def print_check(arch: Arch, network: str, report: CheckReport, cost: Cost | None, form: str) -> None:
    """Print a check as table, json or csv."""
    rows = [_row(p) for p in report.placements]
    if form == "csv":
        sys.stdout.write(to_csv(COLUMNS, rows))
    elif form == "json":
        print(json.dumps(_plain(arch, report, cost, rows), indent=1))
    else:
        head = (f"{arch.title} ({arch.name})", f"network {network}", f"validation: {arch.validation.text}", "")
        console().print("\n".join(head), markup=False)
        print_table(COLUMNS, [[*r[:3], "yes" if r[3] else "no", *r[4:]] for r in rows])
        _print_summary(arch, report, cost)


def _plain(arch: Arch, report: CheckReport, cost: Cost | None, rows: list[list[Any]]) -> dict[str, Any]:
    fits = cost is not None and cost.fits
    return {
        "arch": arch.name,
        "validation": arch.validation.text,
        "deployable": report.deployable and fits,
        "findings": [{"node": f.node, "rule": f.rule, "message": f.message} for f in report.findings],
        "requantizations_added": list(report.added),
        "requantizations_removed": list(report.removed),
        "weight_bytes": cost and cost.weight_bytes,
        "peak_onchip_bytes": cost and cost.peak_onchip_bytes,
        "fits": fits,
        "problems": list(cost.problems) if cost else [],
        "nodes": [dict(zip(COLUMNS, r, strict=True)) for r in rows],
    }


def _print_summary(arch: Arch, report: CheckReport, cost: Cost | None) -> None:
    out = console()
    integer = sum(p.step.integer and p.unit != FALLBACK for p in report.placements)
    on_fallback = sum(p.unit == FALLBACK for p in report.placements)
    out.print(f"\n{len(report.placements)} nodes, {integer} in integers on the chip, {on_fallback} on the fallback")
    for kind, names in (("adds", report.added), ("removes", report.removed)):
        if names:
            out.print(f"the chip's graph rule {kind} a requantization at: {', '.join(names)}")
    if cost is not None:
        verdict = "fits" if cost.fits else "DOES NOT FIT"
        out.print(f"weights {format_bytes(cost.weight_bytes)}, peak on-chip memory {format_bytes(cost.peak_onchip_bytes)}: {verdict}")
    for text in (*(cost.problems if cost else ()), *(f"{f.rule}: {f.message}" for f in report.findings)):
        out.print(f"finding: {text}")
    if cost is not None and cost.fallback_share and arch.fallback is not None:
        out.print(f"{100 * cost.fallback_share:.3g} % of the products run on {arch.fallback.name}")
    out.print("deployable as it is" if report.deployable and cost is not None and cost.fits else "NOT deployable as it is")
