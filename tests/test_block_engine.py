"""The block engine against Vela 5.2.0's operators and networks, by hand on one layer, and against Vela itself where it is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from itertools import groupby
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import load_model
from hwsim.arch import Arch
from hwsim.arrays._weight_coding import encoded_bits
from hwsim.errors import HwsimError
from hwsim.graph import Constant, Tensor
from hwsim.io.arch_yaml import load_arch
from hwsim.io.tables import load_tables
from hwsim.simulate import lay_out, price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.validations.vela_ethos_u55 import figures, priced
from tests.data import shared

TABLES = load_tables()
GROUPS = {key: list(g) for key, g in groupby(TABLES["vela_ethos_u55"], key=lambda r: (r["network"], r["accelerator"]))}


@pytest.fixture(scope="module")
def u55() -> Arch:
    return load_arch("ethos_u55_256")


def test_a_pointwise_layer_by_hand(u55: Arch) -> None:
    """14 x 14 x 64 to 384 channels on 2 x 2 x 8: Vela takes blocks of 4 x 14 x 64 and 24 of them, 21 by their micro-blocks.

    A block multiplies 4 cycles for 2 x 7 positions, 8 depths and 2 halves of the channels: 896; it finishes 4 x 14 x 64 / 4 = 896.
    In come 14 x 4 x 32 B in 224 cycles, out go 448: tail = (896 + 896 + 224) / 4.  21 x 896 + 896 + 64 + 224 + 448 = 20448, and the
    weights of one slice are waited for.
    """
    layer = LayerShape("conv", 64, 384, (14, 14), (1, 1), after=("first",))
    graph = network(
        "n", [LayerShape("first", 64, 64, (14, 14), (1, 1)), layer, LayerShape("last", 384, 16, (14, 14), (1, 1), after=("conv",))]
    )
    laid = lay_out(u55, lower(graph, u55))
    work = laid.mappings[1].work
    assert work.how == "blocks of 4 x 14 x 64"
    assert work.cycles == 20448 and work.fill == 896 + 64 + 224 + 448
    assert work.refetches == 4 and work.laid_out == 14 * 14 * 384
    assert work.reads["inputs"] == 4 * 14 * 64 * 4 * 6
    assert work.reads["tables"] == 10 * 384 * 4


@pytest.mark.parametrize(("name", "chip"), GROUPS)
def test_operators_cost_what_vela_says(name: str, chip: str) -> None:
    """To the cycle where weights need no waiting: all depthwise layers, pools and sums, and most others; memories within 4 %."""
    rows = [r for r in GROUPS[name, chip] if r["npu_cycles"]]
    layers = {c.name: c for c in priced(name, chip, GROUPS[name, chip]).layers}
    equal = [abs(layers[r["name"]].busy["mac_engine"] - int(r["npu_cycles"])) <= 1 for r in rows]
    assert all(e for e, r in zip(equal, rows, strict=True) if r["op"] not in ("conv", "matmul"))
    assert sum(equal) >= 0.7 * len(rows)
    for memory in ("sram", "flash"):
        ours, theirs = sum(layers[r["name"]].busy.get(memory, 0) for r in rows), sum(int(r[f"{memory}_cycles"]) for r in rows)
        assert ours == pytest.approx(theirs, rel=0.3)


def test_the_figures_reach_their_aim() -> None:
    """Those that need the recorded tables alone; the others run Vela itself, where it is installed."""
    assert [f.verdict for f in figures(TABLES) if f.verdict != "not worked out here"][:2] == ["aim reached", "aim reached"]


def test_entropy_of_a_padded_stream() -> None:
    """8 equally frequent numbers of 3 bits each, half of the stream padding: 1.5 + 1 bits an element; nothing known: incompressible."""
    weights = Tensor("w", (8, 100), "int8", constant=Constant.of(np.repeat(np.arange(1, 9, dtype=np.int8), 100).reshape(8, 100)))
    assert encoded_bits(weights, 1600) == int(1.015 * 1600 * 2.5) + 192 * 8
    assert encoded_bits(Tensor("w", (800,), "int8", entropy_bits=7.0), 800) == int(1.015 * 800 * 7) + 192 * 8
    assert encoded_bits(Tensor("w", (800,), "int8", constant=Constant(None)), 1000) == int(1.015 * 1000 * (0.8 * 8 + _h(0.8))) + 192 * 8


def _h(p: float) -> float:
    return -p * log2(p) - (1 - p) * log2(1 - p)


def test_a_buffer_too_small_is_told() -> None:
    arch = load_arch("ethos_u55_32", {"arrays.mac_engine.buffer.banks": "4"})
    graph = network("n", [LayerShape("conv", 64, 64, (14, 14), (3, 3))])
    with pytest.raises(HwsimError, match="conv: must have a block of outputs that fits the buffer, not none in 4 banks"):
        price(arch, lower(graph, arch))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "chip"), [(f, c) for f in ("vww_96_int8", "ad01_int8", "kws_ref_model") for c in (32, 64, 128, 256)])
def test_vela_itself(file: str, chip: int, tmp_path: Path) -> None:
    """Networks that the table does not hold, from their TFLite files: total cycles within 10 % of what Vela reports now."""
    vela = os.environ.get("HWSIM_VELA") or shutil.which("vela")
    if vela is None:
        pytest.skip("needs Vela 5.2.0 (pip install ethos-u-vela==5.2.0, or its command's path in HWSIM_VELA)")
    model = shared(f"models/mlperf_tiny/models/{file}.tflite")
    command = [vela, str(model), "--accelerator-config", f"ethos-u55-{chip}", "--output-dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    summary: Any = next(tmp_path.glob("*_summary_*.csv"))
    with summary.open(newline="") as rows:
        theirs = float(next(csv.DictReader(rows))["cycles_total"])
    arch = load_arch(f"ethos_u55_{chip}")
    ours = price(arch, lower(load_model(model), arch)).cycles
    assert ours == pytest.approx(theirs, rel=0.10)
