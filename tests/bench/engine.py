"""The integer engine's speed, start-up and memory beside its peers, as `python -m tests.bench engine [group ...]` measures them.

Times are CPU times of one thread, medians of runs that alternate with the peer's in one process; start-up is the CPU time of a whole
process, accuracy takes wall-clock time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from tests.bench import _engine_kernels, _engine_networks, _engine_ops, _engine_process, _engine_transformer
from tests.bench._clock import Row, processor, table

REPORT = Path(__file__).resolve().parents[2] / "reports" / "engine.md"
GROUPS: dict[str, Callable[[], list[Row]]] = {
    "gemm": _engine_kernels.gemm,
    "networks": _engine_networks.unsigned,
    "signed": _engine_networks.signed,
    "depthwise": _engine_kernels.depthwise,
    "narrow": _engine_kernels.narrow,
    "tiny": _engine_networks.tiny,
    "ops": _engine_ops.operators,
    "transformer": _engine_transformer.transformer,
    "simulators": _engine_networks.simulators,
    "portable": _engine_process.portable,
    "accuracy": _engine_process.accuracy,
    "start": _engine_process.start,
    "memory": _engine_process.memory,
}


def main(arguments: list[str]) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in arguments or GROUPS:
        shown = table(GROUPS[name]())
        print(shown, flush=True)
        write(name, shown)


def write(group: str, shown: str) -> None:
    """The group's section of the report, in the place of an earlier one."""
    written = REPORT.read_text("utf-8").split("\n## ")[1:] if REPORT.exists() else []
    sections = dict(part.rstrip().split("\n\n", 1) for part in written) | {group: f"{machine()}\n\n{shown}"}
    body = "".join(f"\n## {name}\n\n{sections[name]}\n" for name in GROUPS if name in sections)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(f"# The integer engine beside its peers\n\n{' '.join((__doc__ or '').split())}\n{body}", "utf-8")


def machine() -> str:
    """Processor and versions."""
    peers = ", ".join(f"{p} {version(p)}" for p in ("onnxruntime", "ai-edge-litert", "qonnx", "onnx", "numpy", "llvmlite"))
    return f"{processor()}, {peers}."
