"""Memory of this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bench import _engine_models as models


def peak_bytes() -> int:
    """The most that was resident since `settled`."""
    return _status("VmHWM")


def settled() -> int:
    """Bytes resident after a first small network has loaded every module and kernel library; the peak starts anew."""
    models.assembled(models.depthwise(8, 8, 1)).run({"x": np.zeros((1, 8, 8, 8), np.uint8)})
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(field))
    return 1024 * int(line.split()[1])
