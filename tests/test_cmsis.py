"""CMSIS-NN's golden vectors: every convolution, depthwise convolution and fully-connected case, exact in both executors.

The vectors give the fixed-point multiplier and shift of each channel; a float64 scale m 2^(e - 31) gives back exactly these.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from hwsim.program import Accumulator
from hwsim.quant import Array
from hwsim.steps.execute import execute
from tests.conftest import Say
from tests.data import loaders
from tests.steps import ENGINES, conv_attrs, quant, step_program, stored

Case = tuple[dict[str, Array], dict[str, Any]]


@cache
def vectors() -> dict[str, Case]:
    """Arrays and macros of every case, both by their names without the case's own."""
    arrays, macros = loaders().cmsis_nn()
    return {k: ({n[len(k) + 1 :]: a for n, a in v.items()}, {n[len(k) + 1 :]: m for n, m in macros[k].items()}) for k, v in arrays.items()}


def find(arrays: dict[str, Array], *names: str) -> Array | None:
    return next((arrays[n] for n in names if n in arrays), None)


def kind_of(name: str, arrays: dict[str, Array], macros: dict[str, Any]) -> str:
    """conv, depthwise, fully_connected, or "" for the operators of other tests."""
    if (
        find(arrays, "weights", "input_weights") is None
        or find(arrays, "output_ref", "output") is None
        or "transpose" in name
        or "svdf" in name
    ):
        return ""
    if "CH_MULT" in macros:
        return "depthwise"
    return "conv" if "FILTER_X" in macros else "fully_connected" if "ACCUMULATION_DEPTH" in macros else ""


def unpack(packed: Array, count: int) -> Array:
    """Two signed 4-bit numbers a byte, low nibble first, when the bytes are fewer than the numbers."""
    if packed.size == count:
        return packed
    codes = packed.view(np.uint8)
    nibbles = np.stack([codes & 15, codes >> 4], -1).ravel()[:count].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.int8)


def multipliers(arrays: dict[str, Array], m: dict[str, Any], channels: int) -> Array:
    """The real multiplier of each channel."""
    whole = find(arrays, "output_mult", "output_multiplier")
    shift = find(arrays, "output_shift")
    if whole is None or shift is None:
        whole, shift = np.array([m["OUTPUT_MULTIPLIER"]]), np.array([m["OUTPUT_SHIFT"]])
    return np.broadcast_to(np.ldexp(whole.astype(np.float64), shift.astype(np.int64) - 31), channels)


def geometry(m: dict[str, Any]) -> dict[str, Any]:
    """Window attributes; the padding behind is what the output size needs."""
    stride, dilation = ((m[f"{k}_Y"], m[f"{k}_X"]) for k in ("STRIDE", "DILATION"))
    before = (m.get("PAD_Y", 0), m.get("PAD_X", 0))
    kernel = (m["FILTER_Y"], m["FILTER_X"])
    need = [
        (m[f"OUTPUT_{a}"] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - m[f"INPUT_{a}"] - before[i] for i, a in enumerate("HW")
    ]
    return conv_attrs(kernel, stride, before, (need[0], need[1]), dilation)


def arithmetic_of(name: str, x: Array, bias: Array | None) -> tuple[str, Accumulator]:
    """16-bit activations use the reduced multiplier and 64-bit sums, unless the bias is int32 (or would be: `xint32` cases)."""
    if x.dtype == np.int16 and "xint32" not in name and (bias is None or bias.dtype == np.int64):
        return "gemmlowp_int64", Accumulator(64)
    return "gemmlowp", Accumulator(32)


def program_of(case: str, kind: str, arrays: dict[str, Array], m: dict[str, Any]) -> tuple[Any, dict[str, Array], Array]:
    x, want = find(arrays, "input"), find(arrays, "output_ref", "output")
    bias, packed = find(arrays, "biases", "bias", "input_bias"), find(arrays, "weights", "input_weights")
    assert x is not None and want is not None and packed is not None
    outputs, batches = m["OUT_CH"], m["INPUT_BATCHES"]
    fmt = f"int{8 * x.itemsize}"
    yq = quant(fmt, np.float64(1), m["OUTPUT_OFFSET"], None, m["OUT_ACTIVATION_MIN"], m["OUT_ACTIVATION_MAX"])
    xq = quant(fmt, np.float64(1), -m["INPUT_OFFSET"])
    scale = multipliers(arrays, m, outputs)
    name, accumulator = arithmetic_of(case, x, bias)
    if kind == "fully_connected":
        depth = m["ACCUMULATION_DEPTH"]
        w = unpack(packed, outputs * depth).reshape(outputs, depth)
        x, attrs = x.reshape(batches, depth), {"trans_a": False, "trans_b": True, "alpha": 1.0, "beta": 1.0}
        shape: tuple[int, ...] = (batches, outputs)
    else:
        attrs, taps = geometry(m), m["FILTER_Y"] * m["FILTER_X"]
        x = x.reshape(batches, m["INPUT_H"], m["INPUT_W"], m["IN_CH"]).transpose(0, 3, 1, 2)
        if kind == "depthwise":
            attrs["group"] = m["IN_CH"]
            w = unpack(packed, outputs * taps).reshape(m["FILTER_Y"], m["FILTER_X"], outputs).transpose(2, 0, 1)[:, None]
        else:
            each = m.get("FILTER_CH", m["IN_CH"])
            attrs["group"] = m["IN_CH"] // each
            w = unpack(packed, outputs * taps * each).reshape(outputs, m["FILTER_Y"], m["FILTER_X"], each).transpose(0, 3, 1, 2)
        shape = (batches, outputs, m["OUTPUT_H"], m["OUTPUT_W"])
        want = want.reshape(batches, m["OUTPUT_H"], m["OUTPUT_W"], outputs).transpose(0, 3, 1, 2)
    wq = quant("int8", scale, -m.get("FILTER_OFFSET", 0), 0)
    inputs: list[tuple[Any, Any]] = [(stored("x", x, xq), x), (stored("w", np.ascontiguousarray(w), wq, constant=True), None)]
    if bias is not None:
        inputs.append((stored("b", bias.astype(np.int64), quant("int64", scale.astype(np.float32), 0, 0), constant=True), None))
    op = "matmul" if kind == "fully_connected" else "conv"
    program, feeds = step_program(op, inputs, (shape, yq), attrs, name, accumulator)
    return program, feeds, want.reshape(shape)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_vector_is_exact(engine: str, say: Say) -> None:
    counted: Counter[str] = Counter()
    wrong = []
    for name, (arrays, macros) in vectors().items():
        kind = kind_of(name, arrays, macros)
        if not kind:
            continue
        program, feeds, want = program_of(name, kind, arrays, macros)
        got = execute(program, feeds, engine=engine).tensors["y"]
        counted[f"{kind} {feeds['x'].dtype}"] += 1
        if not np.array_equal(got, want):
            wrong.append(name)
    say(
        f"CMSIS-NN vectors in {engine}: {sum(counted.values())} exact of {sum(counted.values())}: {dict(counted)}"
        if not wrong
        else f"\nwrong: {wrong}"
    )
    assert not wrong
    assert sum(counted.values()) >= 80
