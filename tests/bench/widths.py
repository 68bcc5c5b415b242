"""Speed of every width and every accumulator against our own 8-bit kernel: interleaved in one process, thread time, medians.

Each row is one compiled step, what it does with its activations before (packing bits, widening) included.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hwsim.kernels import host
from hwsim.program import Accumulator
from hwsim.quant import Array
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from tests.bench._alone import alone
from tests.bench._clock import Call, interleaved, processor
from tests.steps import quant, step_program, stored

REPORT = Path(__file__).resolve().parents[2] / "reports" / "widths.md"
LARGE, VECTOR, DEEP = (1024, 1024, 1024), (1, 4096, 4096), (448, 2304, 512)
PRODUCTS = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}


EXACT = Accumulator()


@dataclass(frozen=True)
class Row:
    """One product against the 8-bit one of the same shape; must and aim are ratios of speed (widths) or slowdowns (accumulators)."""

    name: str
    shape: tuple[int, int, int]
    x: str = "uint8"
    w: str = "int8"
    accumulator: Accumulator = EXACT
    data: str = "uniform"
    must: float = 0
    aim: float = 0


def saturating(bits: int, every: str, tile: int = 1) -> Accumulator:
    return Accumulator(bits, "saturate", every, tile)


PLAIN = Row("w8a8", LARGE)
WIDTHS = (
    Row("binary", LARGE, "bipolar", "bipolar", must=4, aim=5.3),
    Row("ternary", LARGE, "ternary", "ternary"),
    Row("w4a8", LARGE, w="int4", must=0.9, aim=1.0),
    Row("w2a8", LARGE, w="int2", must=0.9, aim=1.0),
    Row("w4a8 vector", VECTOR, w="int4", must=1.8, aim=2.0),
    Row("w2a8 vector", VECTOR, w="int2", must=2.4, aim=2.6),
    Row("binary vector", VECTOR, "bipolar", "bipolar"),
    Row("w8a16", LARGE, "int16"),
)
CUTS = (
    Row("wrap at 20 bits", DEEP, accumulator=Accumulator(20), must=1.0),
    Row("wrap at 16 bits", DEEP, accumulator=Accumulator(16), must=1.0),
    *(Row(f"saturate per tile of {t}", DEEP, accumulator=saturating(18, "tile", t), data="network", must=1.3) for t in (16, 32, 64)),
    *(Row(f"saturate per MAC at {b} bits", DEEP, accumulator=saturating(b, "mac"), data="network", must=1.2) for b in (24, 22, 20)),
    Row("saturate per MAC at 18 bits", DEEP, accumulator=saturating(18, "mac"), data="network"),
    Row("saturate per MAC at 16 bits", DEEP, accumulator=saturating(16, "mac"), data="network", must=3.5),
    Row("saturate per MAC at 16 bits", DEEP, accumulator=saturating(16, "mac"), data="uniform", must=3.5),
    Row("16-bit pairs", DEEP, accumulator=Accumulator(every="pair"), data="network", must=2.2),
    Row("16-bit pairs", DEEP, accumulator=Accumulator(every="pair"), data="uniform", must=2.2),
)
TILED = tuple(r if r.x == "uint8" else replace(r, must=0, aim=0) for r in WIDTHS if r.shape is LARGE and r.x != "int16")
WRAPS = tuple(r for r in CUTS if r.accumulator.any_order)
TABLES = (
    ("times the speed of w8a8, in vectors", WIDTHS, False, False),
    ("slowdown against plain int32, in vectors", CUTS, False, True),
    ("times the speed of w8a8, both in tiles (AMX)", TILED, True, False),
    ("slowdown against plain int32, both in tiles (AMX)", WRAPS, True, True),
)


def operands(row: Row) -> tuple[Array, Array]:
    """Uniform over the formats, or as in a network: activations half zero and half-normal, weights normal."""
    m, k, n = row.shape
    rng = np.random.default_rng(0)
    xq, wq = quant(row.x).format, quant(row.w).format
    if row.data == "network":
        x = np.clip(np.abs(rng.normal(0, 40, (m, k))) * (rng.random((m, k)) > 0.5), 0, 255)
        return x.astype(np.uint8), np.clip(np.rint(rng.normal(0, 30, (k, n))), -127, 127).astype(np.int8)
    x, w = (
        rng.choice([-1, 1], s) if f.name == "bipolar" else rng.integers(int(f.low), int(f.high) + 1, s)
        for f, s in ((xq, (m, k)), (wq, (k, n)))
    )
    return x.astype(xq.dtype), w.astype(wq.dtype)


def compiled(row: Row, tiles: bool) -> Call:
    """One row as a call of its kernels, in vectors alone or also in `tiles` (AMX), its activations in place; some of its sums are
    checked."""
    x, w = operands(row)
    inputs: list[tuple[Any, Any]] = [
        (stored("x", x, quant(row.x, np.float32(1))), x),
        (stored("w", w, quant(row.w, np.float32(1)), constant=True), None),
    ]
    y = (row.shape[0], row.shape[2]), None
    program, feeds = step_program("matmul", inputs, y, PRODUCTS, accumulator=row.accumulator)
    with nullcontext() if tiles else patch.object(host, "amx", return_value=False):
        assembly = assemble(program)
    if row.accumulator.any_order or row.shape[0] == 1:
        want, got = execute(program, feeds, engine="reference"), assembly.run(feeds)
        assert np.array_equal(got.tensors["y"], want.tensors["y"]) and got.overflowed == want.overflowed, row.name
    return alone(assembly, feeds)


def measured(row: Row, repeats: int, tiles: bool = False, plain_tiles: bool = False) -> tuple[float, float]:
    """GMAC/s of a row, and its speed as a multiple of the plain 8-bit product on the same shape and data.

    Run call by call in turn with it: neither finds its weights in the caches nearest to the processor.
    """
    plain = compiled(Row("plain", row.shape, data=row.data), plain_tiles)
    taken = interleaved(plain, compiled(row, tiles), rounds=repeats, turn=0)
    return float(np.prod(row.shape)) / float(np.median(taken[1])) / 1e9, float(np.median(taken[0] / taken[1]))


def main(arguments: list[str]) -> None:
    """`--repeats N` runs of each; `--only TEXT` the rows whose name has the text (writes no report)."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench widths")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    lines = [f"# Widths and accumulators against our 8-bit kernel on {processor()}", ""]
    for title, rows, tiles, slower in TABLES if host.amx() else TABLES[:2]:
        lines += [f"| {title} | M x K x N | data | GMAC/s | measured | at least | aim |", "| --- | --- | --- | --- | --- | --- | --- |"]
        for row in (r for r in rows if options.only in r.name):
            gmacs, ratio = measured(row, options.repeats, tiles, tiles)
            shown = 1 / ratio if slower else ratio
            limits = " | ".join(f"{v:g}" if v else "" for v in (row.must, row.aim))
            lines.append(f"| {row.name} | {'x'.join(map(str, row.shape))} | {row.data} | {gmacs:.0f} | {shown:.2f} | {limits} |")
            print(lines[-1], flush=True)
        lines.append("")
    if not options.only:
        REPORT.write_text("\n".join(lines), "utf-8")
