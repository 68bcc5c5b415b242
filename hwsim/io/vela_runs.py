"""The door to Arm's compiler Vela, where it is installed: cycles of a TFLite file on one Ethos-U55, as it estimates them."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from hwsim.errors import HwsimError

__all__ = ["has_vela", "run_vela"]

SYSTEM = "Ethos_U55_High_End_Embedded"


def has_vela() -> bool:
    """Whether it can be run."""
    return find_spec("ethosu") is not None


def run_vela(model: Path, accelerator: str) -> dict[str, float]:
    """Total and NPU cycles (`cycles_total`, `cycles_npu`) on `ethos-u55-32` to `-256`.

    Raises HwsimError where Vela is not installed or refuses the file.
    """
    if not has_vela():
        raise HwsimError("ethos-u-vela", "must be installed for these runs", hint="pip install 'hwsim[vela]'")
    with TemporaryDirectory() as folder:
        options = [
            "--accelerator-config",
            accelerator,
            "--system-config",
            SYSTEM,
            "--memory-mode",
            "Shared_Sram",
            "--config",
            "Arm/vela.ini",
        ]
        command = [sys.executable, "-c", "from ethosu.vela.vela import main; main()", *options, "--output-dir", folder, str(model)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        reports = list(Path(folder).glob("*_summary_*.csv"))
        if done.returncode or not reports:
            raise HwsimError(str(model), "must be a network that Vela compiles", (done.stdout + done.stderr).strip().splitlines()[-1])
        with reports[0].open(newline="") as f:
            (row,) = csv.DictReader(f)
    return {k: float(row[k]) for k in ("cycles_total", "cycles_npu")}
