"""Speed of estimates beside the simulators that users know; writes reports/cost.md.

`python -m tests.bench cost [--no-peers]`.  CPU seconds of one thread, medians; peers run once, in the same run, where they are
installed (SCALE-Sim: `hwsim[scalesim]`, Vela: `hwsim[vela]`, ZigZag: `zigzag-dse` and `six`).  No mapping is remembered from one
call to the next.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hwsim import cost_table
from hwsim.arch import Arch
from hwsim.arrays.systolic import work
from hwsim.building import network_to_price
from hwsim.graph import Graph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.model import read_model
from hwsim.io.scalesim_runs import has_scalesim, run_scalesim
from hwsim.io.tables import load_tables
from hwsim.io.vela_runs import has_vela, run_vela
from hwsim.precision import Precision
from hwsim.simulate import price, run_in_time
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.steps.read import read
from hwsim.validations._layers import classic_layers
from tests.data import ROOT as DATA

REPORT = Path(__file__).resolve().parents[2] / "reports" / "cost.md"
CHIPS = ("tpu_v1", "hexagon_v75", "systolic_128x128")
ARRAY = {"arrays.systolic.unroll": "[{rows: 32, columns: 32}]"}
KWS = "mlperf_tiny/models/kws_ref_model.tflite"


@dataclass(frozen=True)
class Row:
    """One measured time in CPU seconds and what it must stay below; `peer` seconds of another tool for the same question."""

    what: str
    seconds: float
    most: float | None = None
    peer: str = ""
    peer_seconds: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.most is None else "reached" if self.seconds <= self.most else "MISSED"
        theirs = "" if self.peer_seconds is None else f"{self.peer} {_text(self.peer_seconds)}"
        ratio = "" if self.peer_seconds is None else f"{self.peer_seconds / self.seconds:,.0f}"
        return self.what, _text(self.seconds), "" if self.most is None else _text(self.most), verdict, theirs, ratio


def _text(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def timed(call: Callable[[], Any], rounds: int = 9) -> float:
    """Median CPU seconds of this thread, after one call that compiles."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.thread_time()
        call()
        taken.append(time.thread_time() - start)
    return median(taken)


def _once(call: Callable[[], Any]) -> float:
    """CPU seconds of this process and its children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

    def used() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))

    start = used()
    call()
    return used() - start


def systolic(peers: bool) -> list[Row]:
    """ResNet-18 on an array of 128 x 128: all that SCALE-Sim prints (cycles, SRAM counts, utilisation), then our whole estimate."""
    layers, arch = classic_layers(load_tables()["resnet18_layers"]), load_arch("systolic_128x128")

    def answer() -> None:
        for layer in lower(network("resnet18", layers), arch).layers:
            if layer.loops is not None:
                work(arch.arrays["systolic"], layer, arch.clock_hz)

    theirs = _once(lambda: run_scalesim(128, 128, "os", [_padded(x) for x in layers])) if peers and has_scalesim() else None
    return [
        Row("ResNet-18 on a systolic array: cycles and SRAM counts", timed(answer), 5e-3, "SCALE-Sim", theirs),
        Row("the same with tiles, DRAM, energy", timed(lambda: price(arch, lower(network("resnet18", layers), arch))), None),
    ]


def _padded(x: LayerShape) -> dict[str, int]:
    kernel = x.kernel or (1, 1)
    h, w = ((out - 1) * x.stride + k for out, k in zip(x.output[2:] or (1, 1), kernel, strict=True))
    return {"H": h, "W": w, "kh": kernel[0], "kw": kernel[1], "Cin": x.channels, "N": x.outputs, "stride": x.stride}


def estimates() -> list[Row]:
    """ResNet-50 on chips that have just been read, mapped greedily and exhaustively; then other widths."""
    rows = []
    for chip in CHIPS:
        graph = network_to_price("resnet50", "w8a8", rules=load_arch(chip).quantization)
        for mapper, most, rounds in (("greedy", 0.1, 9), ("exhaustive", 10.0, 3)):
            rows.append(Row(f"ResNet-50 on {chip}, new chip, {mapper}", timed(_estimate(chip, graph, mapper), rounds), most))
        rows.append(Row(f"ResNet-50 on {chip}, new chip, played in events", timed(_played(chip, graph), 3), 3.0))
        rows.append(Row(f"ResNet-50 on {chip}, bits changed", _again(load_arch(chip), graph), 2e-3))
    return rows


def _estimate(chip: str, graph: Graph, mapper: str) -> Callable[[], Any]:
    """From the chip's file to the network's cost."""

    def estimate() -> None:
        arch = load_arch(chip)
        price(arch, lower(graph, arch), mapper)

    return estimate


def _played(chip: str, graph: Graph) -> Callable[[], Any]:
    """From the chip's file to the times of a run tile by tile."""

    def play() -> None:
        arch = load_arch(chip)
        run_in_time(arch, lower(graph, arch), fidelity="event")

    return play


def _again(arch: Arch, graph: Graph) -> float:
    """One assignment of widths after another, layer by layer."""
    table = cost_table(arch, graph)
    choices = np.tile(np.array(table.choice(Precision((8, 8)))), (len(table.widths), 1))
    np.fill_diagonal(choices, 0)
    turn = cycle(choices)
    return timed(lambda: table.evaluate(next(turn)[None]), 31)


def zigzag() -> list[Row]:
    """ResNet-18 on an array of 32 x 32, mappings searched."""
    arch, layers = load_arch("systolic_128x128", ARRAY), classic_layers(load_tables()["resnet18_layers"])
    ours = timed(lambda: price(arch, lower(network("resnet18", layers), arch), "exhaustive"), 3)
    return [Row("ResNet-18 on an array of 32 x 32, mappings searched", ours, None, "ZigZag (LOMA, 5 factors)", _once(_run_zigzag))]


def _run_zigzag() -> None:
    from zigzag import api

    inputs = Path(api.__file__).parent / "inputs"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        api.get_hardware_performance_zigzag(
            str(inputs / "workload/resnet18.onnx"),
            str(inputs / "hardware/tpu_like.yaml"),
            str(inputs / "mapping/tpu_like.yaml"),
            dump_folder=folder,
            lpf_limit=5,
            loma_show_progress_bar=False,
        )


def vela(model: Path) -> list[Row]:
    """A keyword spotter on an Ethos-U55-128, from its file."""
    arch = load_arch("ethos_u55_128")
    ours = timed(lambda: price(arch, lower(read(read_model(model)), arch)))
    return [Row("DS-CNN on an Ethos-U55-128, file read", ours, None, "Vela", _once(lambda: run_vela(model, "ethos-u55-128")))]


def page(rows: Sequence[Row]) -> str:
    installed = [f"{p} {version(p)}" for p in ("scalesim", "zigzag-dse", "ethos-u-vela") if find_spec(_module(p))]
    columns = ("what", "CPU time", "at most", "", "peer, same run", "times as fast")
    lines = ["| " + " | ".join(c) + " |" for c in (columns, ("---",) * len(columns), *(r.cells for r in rows))]
    head = (
        f"{platform.processor() or platform.machine()}; peers: {', '.join(installed) or 'none installed'}; by `python -m tests.bench cost`."
    )
    return "\n".join(("# Speed of estimates", "", head, "", *lines)) + "\n"


def _module(package: str) -> str:
    return {"zigzag-dse": "zigzag", "ethos-u-vela": "ethosu"}.get(package, package)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench cost")
    parser.add_argument("--no-peers", action="store_true", help="our own times alone")
    peers = not parser.parse_args(arguments).no_peers
    rows = [*systolic(peers), *estimates()]
    if peers and has_vela() and (DATA / "models" / KWS).is_file():
        rows += vela(DATA / "models" / KWS)
    if peers and find_spec("zigzag"):
        rows += zigzag()
    print(page(rows))
    if peers:
        REPORT.write_text(page(rows))
