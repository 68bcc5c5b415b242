"""The door to SCALE-Sim 3.0, where it is installed: cycles and SRAM counts of layers on one systolic array, as it prints them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hwsim.errors import HwsimError

__all__ = ["has_scalesim", "run_scalesim"]

COLUMNS = ("H", "W", "kh", "kw", "Cin", "N", "stride")
PRINTED = {
    "total_cycles": (0, "Total Cycles"),
    "util": (0, "Overall Util %"),
    "mapeff": (0, "Mapping Efficiency %"),
    "rd_if": (1, "SRAM IFMAP Reads"),
    "rd_fl": (1, "SRAM Filter Reads"),
    "wr_of": (1, "SRAM OFMAP Writes"),
}
REPORTS = "COMPUTE_REPORT.csv", "DETAILED_ACCESS_REPORT.csv"
CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 1024
FilterSramSzkB: 1024
OfmapSramSzkB: 1024
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
Bandwidth: 10
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""


def has_scalesim() -> bool:
    """Whether it can be run."""
    return find_spec("scalesim") is not None


def run_scalesim(rows: int, columns: int, dataflow: str, layers: Sequence[Mapping[str, int]]) -> list[dict[str, str]]:
    """One row for each layer (`H`, `W` with padding, `kh`, `kw`, `Cin`, `N`, `stride`) by the names of `PRINTED`.

    Raises HwsimError where SCALE-Sim is not installed.
    """
    if not has_scalesim():
        raise HwsimError("scalesim", "must be installed for these runs", hint="pip install 'hwsim[scalesim]'")
    from scalesim.memory import double_buffered_scratchpad_mem as memory
    from scalesim.scale_sim import scalesim

    memory.max = _largest  # its arrays of one cycle are numbers no more since NumPy 2.4
    with TemporaryDirectory() as name, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        folder = Path(name)
        files = {"config": "c.cfg", "topology": "t.csv", "layout": "l.csv"}
        (folder / "c.cfg").write_text(CONFIG.format(rows=rows, columns=columns, dataflow=dataflow))
        table = [f"L{i}," + ",".join(str(x[c]) for c in COLUMNS) for i, x in enumerate(layers)]
        (folder / "t.csv").write_text("\n".join(f"{line}," for line in ("name," + ",".join(COLUMNS), *table)) + "\n")
        (folder / "l.csv").write_text("name" + ",x" * 20 + ",\n" + "".join(f"L{i}" + ",1" * 20 + ",\n" for i in range(len(layers))))
        run = scalesim(save_disk_space=True, verbose=False, input_type_gemm=False, **{k: str(folder / v) for k, v in files.items()})
        run.run_scale(top_path=name)
        reports = [_read(folder / "run" / report) for report in REPORTS]
    return [{k: reports[r][i][column] for k, (r, column) in PRINTED.items()} for i in range(len(layers))]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as f:
        return [{str(k).strip(): str(v).strip() for k, v in row.items() if k} for row in csv.DictReader(f)]


def _largest(*values: Any) -> Any:
    largest = max(*values)
    return largest.item() if hasattr(largest, "item") else largest
