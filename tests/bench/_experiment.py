"""MQBench's experiment for the quantization page, by the function behind `hwsim compare`; kept by network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hwsim.decide.backends import BACKENDS, BackendRow, compare_backends
from hwsim.io.dataset import Dataset
from tests.bench._networks import case

__all__ = ["ROWS", "experiment", "kept_rows", "table"]

NETWORKS, ROWS = ("resnet8", "vww_mobilenet", "kws_ref", "ali_model_kws"), 500
BITS, METHODS = ("w8a8", "w4a8", "w4a4"), ("minmax", "full")
NAMES = [*BACKENDS, "academic"]


def experiment(network: str, folder: Path) -> None:
    """Measure a network and keep it; what is kept already is not measured again."""
    if network not in NETWORKS or _file(network, folder).exists():
        return
    c = case(network).first(ROWS)
    rows = []
    for row in compare_backends([c.source], c.calibration, Dataset(network, c.x, np.asarray(c.y, np.int64)), NAMES, BITS, METHODS):
        rows.append(asdict(row))
        print(network, row.method, row.bits, row.backend, f"{row.accuracy:.4f}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    part = _file(network, folder).with_suffix(".part")
    part.write_text(json.dumps(rows), "utf-8")
    part.replace(_file(network, folder))


def _file(network: str, folder: Path) -> Path:
    return folder / f"{network}-backends.json"


def kept_rows(folder: Path) -> dict[str, list[BackendRow]]:
    """The rows that are there, by network."""
    files = {n: _file(n, folder) for n in NETWORKS}
    return {n: [BackendRow(**r) for r in json.loads(f.read_text("utf-8"))] for n, f in files.items() if f.exists()}


def table(rows: dict[str, list[BackendRow]]) -> str:
    """The page's section: changes against float with the share of the fake-quantized network's answers, then latency and energy."""
    lines = [
        "## Five backends and the academic setting (MQBench's experiment)",
        "",
        f"Change of accuracy against float in points on the first {ROWS} rows, bit-true, and in brackets the share of rows (%) with the",
        "answer of the same file computed in real numbers (fake quantization).  Latency and energy of one inference are hwsim's estimates;",
        "the academic setting has no chip.  Made by the function behind `hwsim compare --backends all`.",
        "",
        "| network | bits | method | " + " | ".join(NAMES) + " |",
        "| --- | --- | --- |" + " --- |" * len(NAMES),
    ]
    for network, found in rows.items():
        for bits in BITS:
            for method in METHODS:
                by = {r.backend: r for r in found if (r.bits, r.method) == (bits, method)}
                cells = [f"{100 * (by[b].accuracy - by[b].float_accuracy):+.1f} ({100 * by[b].same_as_fake:.1f})" for b in NAMES]
                lines.append(f"| {network} | {bits} | {method} | " + " | ".join(cells) + " |")
    lines += ["", "| network | bits | " + " | ".join(BACKENDS) + " |", "| --- | --- |" + " --- |" * len(BACKENDS)]
    for network, found in rows.items():
        for bits in BITS:
            by = {r.backend: r for r in found if (r.bits, r.method) == (bits, METHODS[0])}
            costs = [f"{1e3 * (by[b].latency_s or 0):.3g} ms, {1e3 * (by[b].energy_j or 0):.3g} mJ" for b in BACKENDS]
            lines.append(f"| {network} | {bits} | " + " | ".join(costs) + " |")
    return "\n".join([*lines, ""])
