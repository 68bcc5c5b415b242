"""The integer engine's speed, start-up and memory beside its peers; writes reports/engine.md.

`python -m tests.bench engine [group ...]` measures all groups or the named ones.  Times are CPU times of one thread, medians of runs
that alternate with the peer's in one process; start-up is the CPU time of a whole process.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from tests.bench import _engine_kernels, _engine_networks, _engine_process
from tests.bench._clock import Row, table

ROOT = Path(__file__).resolve().parents[2]
GROUPS: dict[str, Callable[[], list[Row]]] = {
    "gemm": _engine_kernels.gemm,
    "networks": _engine_networks.unsigned,
    "signed": _engine_networks.signed,
    "depthwise": _engine_kernels.depthwise,
    "narrow": _engine_kernels.narrow,
    "tiny": _engine_networks.tiny,
    "simulators": _engine_networks.simulators,
    "portable": _engine_process.portable,
    "accuracy": _engine_process.accuracy,
    "start": _engine_process.start,
    "memory": _engine_process.memory,
}


def main(arguments: list[str]) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for name in arguments or GROUPS:
        measured = GROUPS[name]()
        rows += measured
        print(table(measured), flush=True)
    peers = ", ".join(f"{p} {version(p)}" for p in ("onnxruntime", "ai-edge-litert", "qonnx", "onnx", "numpy", "llvmlite"))
    if not arguments:
        target = ROOT / "reports/engine.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(
            f"# The integer engine beside its peers\n\n{platform.processor() or platform.machine()}, {peers}.\n\n{table(rows)}\n"
        )
