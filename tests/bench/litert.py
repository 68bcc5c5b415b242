"""Every labelled row of the shared data through the quantized TFLite networks, in hwsim and in LiteRT's reference kernels."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

from tests.litert_rows import LARGE, SMALL, judged_rows

REPORT = Path(__file__).resolve().parents[2] / "reports" / "litert.md"


def main(arguments: list[str]) -> None:
    """`--rows N` stops after N rows of each network."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench litert")
    parser.add_argument("--rows", type=int)
    most = parser.parse_args(arguments).rows
    lines = [
        f"# Predictions against LiteRT {version('ai-edge-litert')} (BUILTIN_REF)",
        "",
        "| network | rows | top-1 | LiteRT's top-1 | equal predictions | equal outputs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, rows in {**SMALL, **LARGE}.items():
        s = judged_rows(rows, most)
        shares = f"{s.correct / s.rows:.4f} | {s.reference_correct / s.rows:.4f}"
        lines.append(f"| {name} | {s.rows} | {shares} | {s.same_prediction} | {s.same_output} |")
        print(lines[-1], flush=True)
    if most is None:
        REPORT.write_text("\n".join([*lines, ""]), "utf-8")
