"""Results as text: tables for people, CSV for programs."""

from __future__ import annotations

import csv
import io
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hwsim.result import Result
from hwsim.units import format_bytes, format_si

__all__ = ["LAYER_COLUMNS", "console", "layer_rows", "on_fallback", "print_result", "print_table", "to_csv"]


WIDE = 240


def console(wide: bool = False) -> Console:
    """Standard output: coloured and as wide as a terminal is (or `wide`, for many columns); plain and wide elsewhere."""
    return Console(width=None if sys.stdout.isatty() and not wide else WIDE, highlight=False, soft_wrap=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None, wide: bool = False) -> None:
    """A table; columns whose cells are numbers go to the right."""
    rows = [[str(c) for c in r] for r in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        numeric = rows and all(r[i][:1].isdigit() or r[i][:1] in "-." or r[i] == "" for r in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for r in rows:
        table.add_row(*r)
    if title:
        console(wide).print(f"\n[italic]{title}[/italic]")
    console(wide).print(table)


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


LAYER_COLUMNS = (
    "name",
    "op",
    "unit",
    "output_shape",
    "weight_bits",
    "activation_bits",
    "accumulator_bits",
    "runs_as",
    "macs",
    "cycles",
    "compute_cycles",
    "vector_cycles",
    "memory_cycles",
    "overhead_cycles",
    "bound_by",
    "utilisation_percent",
    "traffic_bytes",
    "offchip_bytes",
    "energy_pj",
    "note",
)


def layer_rows(result: Result, offchip: Sequence[str]) -> list[list[Any]]:
    """One row per layer in the order of LAYER_COLUMNS; `offchip` names the off-chip memories."""
    rows = []
    for c in result.cost.layers:
        traffic = {m: -(-(c.read_bits[m] + c.write_bits[m]) // 8) for m in c.read_bits}
        rows.append(
            [
                c.name,
                c.op,
                c.unit,
                "x".join(map(str, c.output_shape)),
                c.weight_bits or "",
                c.activation_bits or "",
                c.accumulator_bits or "",
                c.precision,
                c.macs,
                c.total_cycles,
                *(c.cycles[p] for p in ("compute", "vector", "memory", "overhead")),
                c.bound_by,
                f"{100 * c.utilisation:.1f}" if c.slots else "",
                sum(traffic.values()),
                sum(traffic.get(m, 0) for m in offchip),
                f"{c.total_pj:.1f}",
                c.note,
            ]
        )
    return rows


def print_result(result: Result, offchip: Sequence[str]) -> None:
    """Header, summary and a row per layer."""
    out = console()
    out.print(f"[bold]{result.arch_title}[/bold] ({result.arch} {result.arch_hash[:12]})")
    out.print(f"network {result.model} ({result.model_hash[:12]}), {result.precision}, batch {result.batch}")
    out.print(" ".join(f"{k} {v}" for k, v in result.versions.items()))
    out.print(f"validation: {result.validation}; {len(result.assumed)} blocks of the chip hold assumed numbers")
    for text in (*result.cost.problems, *result.findings):
        out.print(f"[red]finding:[/red] {text}")
    out.print()
    for label, text in summary_rows(result):
        out.print(textwrap.fill(f"{label:<25} {text}", 130, subsequent_indent=" " * 26), highlight=False, markup=False)
    out.print()
    columns = [
        "layer",
        "op",
        "unit",
        "output",
        "w",
        "a",
        "acc",
        "runs as",
        "MACs",
        "cycles",
        "compute",
        "vector",
        "memory",
        "overhead",
        "bound by",
        "util %",
        "traffic B",
        "off-chip B",
        "energy nJ",
        "note",
    ]
    rows = [[*r[:18], f"{float(r[18]) / 1e3:.3f}", r[19]] for r in layer_rows(result, offchip)]
    rows.append(
        [
            "total",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            result.cost.macs,
            result.cost.cycles,
            *result.cycle_parts.values(),
            "",
            "",
            sum(r[16] for r in rows),
            sum(r[17] for r in rows),
            f"{result.cost.energy_pj / 1e3:.3f}",
            "",
        ]
    )
    print_table(columns, rows, wide=True)


def area_text(result: Result) -> str:
    """The whole and its parts, the largest first; parts without an area are left out."""
    parts = sorted(((n, a) for n, a in result.area_mm2.items() if a), key=lambda p: -p[1])
    return f"{sum(result.area_mm2.values()):.3g} mm2 of what the file describes: " + ", ".join(f"{name} {area:.3g}" for name, area in parts)


def on_fallback(share: float) -> str:
    """What share of the products the fallback makes, as the end of a sentence; nothing for none."""
    return f", {100 * share:.3g} % of them on the fallback" if share else ""


def summary_rows(result: Result) -> list[tuple[str, str]]:
    """The figures of the whole network, as label and text."""
    cost = result.cost
    energy = ", ".join(f"{k} {format_si(v * 1e-12, 'J')}" for k, v in sorted(result.energy_parts_pj.items(), key=lambda kv: -kv[1]) if v)
    capacity = "" if result.onchip_capacity_bytes is None else f" of {format_bytes(result.onchip_capacity_bytes)}"
    rows = [
        ("latency", f"{format_si(result.latency_s, 's')} ({cost.cycles:,} cycles at {format_si(cost.clock_hz, 'Hz')})"),
        *time_rows(result),
        ("throughput", f"{result.inferences_per_s:,.1f} inferences/s"),
        ("energy", f"{format_si(result.energy_j, 'J')} per inference"),
        ("energy by part", energy),
        ("average power", format_si(cost.average_power_w, "W")),
        ("MACs", f"{cost.macs:,}, MAC utilisation {100 * result.mac_utilisation:.2f} %{on_fallback(cost.fallback_share)}"),
        ("reached", f"{result.tops:.4g} TOPS, {result.tops_per_w:.4g} TOPS/W"),
        ("area", area_text(result)),
        ("weights", format_bytes(cost.weight_bytes)),
        ("peak on-chip memory", f"{format_bytes(cost.peak_onchip_bytes)}{capacity}: {'fits' if cost.fits else 'DOES NOT FIT'}"),
        *plan_rows(result),
        (
            "traffic",
            ", ".join(f"{m} {format_bytes(t['read'])} read {format_bytes(t['write'])} written" for m, t in result.traffic_bytes.items()),
        ),
    ]
    if result.accuracy is not None and result.reference_accuracy is not None and result.agreement is not None:
        s, r, a = result.accuracy, result.reference_accuracy, result.agreement
        rows += [
            ("accuracy on the chip", f"{s.metric} {s.value:.4f} (95 % interval {s.low:.4f} to {s.high:.4f}, {s.samples} samples)"),
            ("file's own arithmetic", f"{r.metric} {r.value:.4f}"),
            (
                "agreement",
                f"{100 * a.same_answer:.2f} % same answer, outputs differ by {a.mean_difference:.4g} on average, "
                f"{a.largest_difference:.4g} at most",
            ),
        ]
        rows.append(
            (
                "overflowed accumulations",
                f"{sum(result.overflowed.values()):,}" + (f" in {len(result.overflowed)} layers" if result.overflowed else ""),
            )
        )
    return rows


def time_rows(result: Result) -> list[tuple[str, str]]:
    """How the time was found, where it was played."""
    trace = result.trace
    if trace is None:
        return []
    hits = "".join(f"; {m} finds {100 * share:.1f} % of its rows open" for m, share in trace.row_hits.items())
    return [("played as", f"{result.fidelity}; roofline {trace.roofline:,.0f}, one after the other {trace.serial:,.0f} cycles{hits}")]


def plan_rows(result: Result) -> list[tuple[str, str]]:
    """How far the addresses of each memory on the chip reach."""
    plan = result.memory_plan
    if plan is None:
        return []
    sizes = {m: plan.capacity_bytes[m] for m in plan.on_chip}
    used = ", ".join(f"{m} {format_bytes(plan.peak_bytes[m])}" + (f" of {format_bytes(s)}" if s else "") for m, s in sizes.items())
    return [("memory plan", "; ".join([used, *plan.problems]))]
