"""The report folder of a run: result.json, layers.csv, report.html, its plots as SVG files, and trace.json of a run in events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwsim.arch import Arch, Block
from hwsim.io.arch_yaml import load_areas, load_costs
from hwsim.io.files import write_whole
from hwsim.io.pages import Markup, page
from hwsim.io.plots import drawn_layers, energy_plot, latency_plot, roofline_plot
from hwsim.io.plots_time import gantt_plot, memory_plot
from hwsim.io.text import LAYER_COLUMNS, layer_rows, on_fallback, summary_rows, to_csv
from hwsim.io.trace import to_chrome
from hwsim.result import Result
from hwsim.units import format_bytes, format_si

__all__ = ["write_report"]

TEXT = ("name", "op", "unit", "output_shape", "runs_as", "bound_by", "note")


SHORT = {
    "output_shape": "output",
    "weight_bits": "w",
    "activation_bits": "a",
    "accumulator_bits": "acc",
    "runs_as": "runs as",
    "macs": "MACs",
    "compute_cycles": "compute",
    "vector_cycles": "vector",
    "memory_cycles": "memory",
    "overhead_cycles": "overhead",
    "bound_by": "bound by",
    "utilisation_percent": "util %",
    "traffic_bytes": "traffic B",
    "offchip_bytes": "off-chip B",
    "energy_pj": "energy pJ",
}


def write_report(result: Result, folder: Path, offchip: Sequence[str], arch: Arch) -> None:
    """Write all files of a report.  Raises HwsimError when the folder cannot be written."""
    rows = layer_rows(result, offchip)
    peak, memory, width = _roof(arch, offchip)
    plots = {"latency": latency_plot(result), "energy": energy_plot(result), "memory": memory_plot(result)}
    if any(c.slots for c in result.cost.layers):
        plots["roofline"] = roofline_plot(result, peak, width, memory)
    if result.trace is not None:
        plots["gantt"] = gantt_plot(result)
    files = {
        **({} if result.trace is None else {"trace.json": to_chrome(result)}),
        "result.json": result.to_json() + "\n",
        "layers.csv": to_csv(LAYER_COLUMNS, rows),
        **{f"{name}.svg": svg for name, svg in plots.items()},
        "report.html": _page(result, rows, plots, memory, arch),
    }
    for name, text in files.items():
        write_whole(folder / name, text)


def _page(result: Result, rows: list[list[Any]], plots: dict[str, str], roof_memory: str, arch: Arch) -> str:
    fixed = result.cost.cycles - sum(c.total_cycles for c in drawn_layers(result))
    return page(
        "report.html.j2",
        r=result,
        fits=result.cost.fits,
        findings=(*result.cost.problems, *result.findings),
        cards=_cards(result),
        summary=summary_rows(result),
        plots={k: Markup(v) for k, v in plots.items()},
        roof_memory=roof_memory,
        apart=format_si(fixed / result.cost.clock_hz, "s") if fixed else "",
        columns=[{"name": SHORT.get(c, c), "full": c.replace("_", " "), "text": c in TEXT} for c in LAYER_COLUMNS],
        rows=[[_cell(v) for v in r] for r in rows],
        totals=_totals(result, rows),
        sources=[*_sources(arch), *_table_sources(arch)],
    )


def _roof(arch: Arch, offchip: Sequence[str]) -> tuple[float, str, float]:
    """MACs per cycle of all arrays at their best native rate, and the memory whose bandwidth is drawn: off chip, or the farthest."""
    peak = sum(
        a.multipliers * max([*a.rates.values(), 1.0] if a.serial or a.compose else a.rates.values())
        for a in arch.arrays.values()
        if a.shares is None
    )
    memory = offchip[-1] if offchip else list(arch.memories)[-1]
    return peak, memory, arch.memories[memory].read.per_cycle(arch.clock_hz) / 8


def _cards(result: Result) -> list[tuple[str, str, str]]:
    cost = result.cost
    cards = [
        ("latency", format_si(result.latency_s, "s"), f"{result.inferences_per_s:,.1f} inferences/s"),
        ("energy", format_si(result.energy_j, "J"), f"{format_si(cost.average_power_w, 'W')} on average"),
    ]
    if result.accuracy is not None:
        s = result.accuracy
        text = f"{100 * s.value:.2f} %" if s.metric.startswith("top") else f"{s.value:.4f}"
        cards.append((f"accuracy ({s.metric})", text, f"{s.samples} samples, {s.low:.4f} to {s.high:.4f}"))
    cards += [
        ("MAC utilisation", f"{100 * result.mac_utilisation:.2f} %", f"{cost.macs:,} MACs{on_fallback(cost.fallback_share)}"),
        ("reached", format_si(result.tops * 1e12, "OPS"), f"{format_si(result.tops_per_w * 1e12, 'OPS')}/W"),
        ("weights", format_bytes(cost.weight_bytes), f"peak on-chip {format_bytes(cost.peak_onchip_bytes)}"),
    ]
    return cards


def _cell(value: Any) -> dict[str, Any]:
    """A cell's text and the key that it is sorted by."""
    if isinstance(value, int):
        return {"text": f"{value:,}", "sort": value}
    return {"text": value, "sort": value}


def _totals(result: Result, rows: list[list[Any]]) -> list[str]:
    sums = {
        "name": "total",
        "macs": f"{result.cost.macs:,}",
        "cycles": f"{result.cost.cycles:,}",
        "energy_pj": f"{result.cost.energy_pj:.1f}",
        **{f"{p}_cycles": f"{n:,}" for p, n in result.cycle_parts.items()},
    }
    for i, name in enumerate(LAYER_COLUMNS):
        if name.endswith("traffic_bytes") or name == "offchip_bytes":
            sums[name] = f"{sum(r[i] for r in rows):,}"
    return [sums.get(name, "") for name in LAYER_COLUMNS]


def _table_sources(arch: Arch) -> list[tuple[str, str]]:
    """Of the chip's energy table and of the table of areas."""
    found = []
    for folder, table in (("costs", load_costs(arch.energy.table)), ("costs/area", load_areas())):
        for name, block in table:
            if isinstance(block, Block):
                text = "; ".join(t for t in (block.source, block.assumed and f"assumed: {block.assumed}") if t)
                found.append((f"archs/{folder}/{table.name}.yaml {name}", text))
    return found


def _sources(arch: Arch) -> list[tuple[str, str]]:
    return [(name, b.source) for name, b in arch.blocks if b.source]
