"""An explanation as tables for people, or as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from hwsim.cost import CYCLE_PARTS, Priced
from hwsim.explanation import Explanation, PortUse, WhatIf
from hwsim.io.explain_words import words
from hwsim.io.text import console, print_table, to_csv
from hwsim.units import format_bytes, format_si

__all__ = ["print_explanation"]


def print_explanation(e: Explanation, latency: bool, energy: bool, form: str) -> None:
    """The parts asked for, as tables; all of it as JSON; the energy's lines as CSV."""
    if form == "json":
        lines = [{**line._asdict(), "total_pj": line.total_pj} for line in e.energy]
        print(json.dumps({**asdict(e), "energy": lines, "words": list(words(e))}, indent=1))
    elif form == "csv":
        sys.stdout.write(to_csv(("part", "action", "number", "each_pj", "total_pj", "price"), [_csv(x) for x in e.energy]))
    else:
        _print_head(e)
        for sentence in words(e):
            console().print(f"- {sentence}", markup=False)
        print()
        if latency:
            _print_latency(e)
        if energy:
            _print_energy(e)
        columns = ("change", "runs as", "layer cycles", "layer nJ", "network cycles", "network nJ")
        print_table(columns, [_change(e, w) for w in e.changes], "what if")


def _csv(x: Priced) -> list[object]:
    return [x.part, x.action, x.number, x.each_pj, x.total_pj, x.price]


def _print_head(e: Explanation) -> None:
    out, c = console(), e.layer
    out.print(f"{c.name}: {c.op} on {c.unit}" + (f" ({e.kind})" if e.kind else "") + f" of {e.arch}")
    out.print(f"validation: {e.validation}", markup=False)
    if c.note:
        out.print(f"note: {c.note}", markup=False)
    out.print(f"time: {c.total_cycles:,} cycles ({format_si(c.total_cycles / e.clock_hz, 's')}), bound by {c.bound_by}")
    out.print(f"energy: {c.total_pj / 1e3:,.3f} nJ\n")


def _print_latency(e: Explanation) -> None:
    c = e.layer
    stages = [(f"{c.unit}: {name}", f"{n:,}", "stages work at the same time; the longest counts") for name, n in e.stages.items()]
    units = [(u, f"{n:,}", "binds" if u == c.bound_by else "") for u, n in c.busy.items()]
    print_table(("unit", "busy cycles", "note"), [*units, *stages], "what works how long")
    ports = [_port(p) for p in e.ports]
    print_table(("memory", "port", "moves", "bits per cycle", "cycles"), ports, "memory ports")
    parts = [(p, f"{c.cycles[p]:,}") for p in CYCLE_PARTS]
    print_table(("part", "cycles"), [*parts, ("total", f"{c.total_cycles:,}")], "what each adds beyond those before it")


def _port(p: PortUse) -> tuple[str, ...]:
    moved = ", ".join(f"{o} {format_bytes(-(-bits // 8))}" for o, bits in p.operands.items() if bits)
    return p.memory, p.direction, moved, f"{p.bits_per_cycle:g}", f"{p.cycles:,}"


def _print_energy(e: Explanation) -> None:
    lines = [x for x in e.energy if x.number]
    rows = [(x.part, x.action, f"{x.number:,}", f"{x.each_pj:.6g}", f"{x.total_pj / 1e3:,.3f}", x.price) for x in lines]
    total = ("total", "", "", "", f"{e.layer.total_pj / 1e3:,.3f}", "")
    print_table(("part", "action", "count", "pJ each", "nJ", "price from"), [*rows, total], "actions x prices")
    used = [e.sources[p] for p in dict.fromkeys(x.price for x in lines) if p in e.sources]
    print_table(("block", "node", "supply", "scaled by", "trust", "source"), [_provenance(s) for s in used], "sources")


def _provenance(s: Any) -> tuple[str, str, str, str, str, str]:
    node, supply = (f"{s.node_nm:g} nm", f"{s.voltage:g} V") if s.node_nm else ("", "")
    return s.block, node, supply, f"{s.scaled:.4g}" if s.node_nm else "", s.trust, s.text


def _change(e: Explanation, w: WhatIf) -> tuple[str, ...]:
    if w.cycles is None or w.energy_pj is None or w.network_cycles is None or w.network_pj is None:
        return w.change, "not on this chip", "", "", "", ""
    pairs = ((w.cycles, e.layer.total_cycles), (w.energy_pj / 1e3, e.layer.total_pj / 1e3))
    whole = ((w.network_cycles, e.network_cycles), (w.network_pj / 1e3, e.network_pj / 1e3))
    return w.change, w.runs_as, *(_difference(new, old) for new, old in (*pairs, *whole))


def _difference(new: float, old: float) -> str:
    """The change itself and in per cent."""
    if new == old:
        return "0"
    share = f"({100 * (new / old - 1):+.2g} %)" if old else ""
    return f"{new - old:+,.0f} {share}" if abs(new - old) >= 10 else f"{new - old:+.3g} {share}"
