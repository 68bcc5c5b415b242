"""CMSIS-NN's published DS-CNN networks for keyword spotting, layer by layer through hwsim, exact at the end."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hwsim.quant import Array
from hwsim.steps.execute import execute
from tests.data import loaders
from tests.steps import ENGINES
from tests.test_cmsis import program_of
from tests.test_cmsis_elementwise import pool, softmax

KINDS = {"conv_2d": "conv", "depthwise_conv_2d": "depthwise", "fully_connected": "fully_connected"}


def layers(macros: dict[str, Any]) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, kind and macros of each layer, in order."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for name, value in macros.items():
        kind, number, rest = re.fullmatch(r"([A-Z_0-9]+?)_(\d+)_(.*)", name.replace("2D", "TWO")).groups()  # type: ignore[union-attr]
        found.setdefault((int(number), kind.replace("TWO", "2D").lower()), {})[rest] = value
    return [(number, kind, m) for (number, kind), m in sorted(found.items())]


def run(number: int, kind: str, m: dict[str, Any], arrays: dict[str, Array], x: Array, engine: str) -> Array:
    """One layer's output, flat in the order rows, columns, channels."""
    if kind in KINDS:
        prefix = f"layer_{number}_{kind}_"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        if kind == "fully_connected":
            m = {**m, "OUT_CH": m["IN_CH"], "ACCUMULATION_DEPTH": m["OUT_CH"]}  # as the file names them
        size = m["OUT_CH"] * (1 if kind == "fully_connected" else m["OUTPUT_H"] * m["OUTPUT_W"])
        program, feeds, _ = program_of("ds_cnn", KINDS[kind], own | {"input": x, "output": np.zeros(size, np.int8)}, m)
    elif kind == "average_pool_2d":
        m = {**m, "OUTPUT_OFFSET": 0, "BATCH_SIZE": 1, "INPUT_C": m["IN_CH"], **{f"PADDING_{a}": m[f"PAD_{a}"] for a in "HW"}}
        blank = np.zeros(m["IN_CH"] * m["OUTPUT_H"] * m["OUTPUT_W"], np.int8)
        program, feeds, _ = pool("average_pool")({"input_tensor": x, "output": blank}, m)
    else:
        named = {**m, "INPUT_MULT": m["MULT"], "INPUT_LEFT_SHIFT": m["SHIFT"]}
        program, feeds, _ = softmax({"input": x, "output_ref": np.zeros_like(x)}, named)
    y = execute(program, feeds, engine=engine).tensors["y"]
    return (y.transpose(0, 2, 3, 1) if y.ndim == 4 else y).ravel()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_network_is_exact(engine: str) -> None:
    arrays, macros = loaders().cmsis_nn()
    for case in [k for k in arrays if k.startswith("ds_cnn")]:
        own = {k.removeprefix(f"{case}_"): v for k, v in arrays[case].items()}
        x = own["input"]
        for number, kind, m in layers(macros[case]):
            x = run(number, kind, m, own, x, engine)
        assert np.array_equal(x, own["output_ref"]), case
