"""ONNX's own node tests: every case with a quantized operator and every case with a low-bit type, in both executors."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from hwsim.graph import SourceGraph
from hwsim.io.onnx_model import held, source_of
from hwsim.quant import Array
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.conftest import Say
from tests.steps import ENGINES

QUANTIZED = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"}
LOW_BIT = {
    getattr(TensorProto, n)
    for n in (
        "INT4",
        "UINT4",
        "INT2",
        "UINT2",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
        "FLOAT4E2M1",
        "FLOAT8E8M0",
    )
}


@cache
def cases() -> dict[str, list[Any]]:
    """The cases of each group.  A conversion counts as low-bit; a quantized operator on low-bit types counts as quantized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    groups: dict[str, list[Any]] = {"quantized": [], "low_bit": []}
    for c in found:
        kinds = {n.op_type for n in c.model.graph.node}
        types = {v.type.tensor_type.elem_type for v in (*c.model.graph.input, *c.model.graph.output)}
        if kinds & QUANTIZED:
            groups["quantized"].append(c)
        elif types & LOW_BIT and kinds <= {"Cast", "CastLike"}:
            groups["low_bit"].append(c)
    return groups


def array_of(value: Any) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def passes(case: Any, engine: str) -> bool:
    """Whether hwsim gives the expected outputs; parameters that a case feeds as inputs (scales) are given as constants where needed."""
    for inputs, outputs in case.data_sets:
        source = source_of(case.model, case.name, "0" * 64)
        fed = {
            v.name: held(array_of(a), source.tensors[v.name].format) for v, a in zip(case.model.graph.input, inputs, strict=False) if v.name
        }
        constants = {} if not _needs_constants(source) else {k: a for i, (k, a) in enumerate(fed.items()) if i}
        rest = {k: a for k, a in fed.items() if k not in constants}
        graph = read(source, {k: a.shape for k, a in rest.items()}, constants)
        got = execute(as_written(graph), rest, engine=engine).tensors
        for value, want in zip(case.model.graph.output, outputs, strict=True):
            expected = array_of(want).astype(np.float64)
            tolerance = case.rtol if array_of(want).dtype.kind == "f" else 0.0
            if not np.allclose(got[value.name].astype(np.float64), expected, rtol=tolerance, atol=1e-7, equal_nan=True):
                return False
    return True


def _needs_constants(source: SourceGraph) -> bool:
    return any(n.kind.startswith("QLinear") for n in source.nodes)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("group", "expected"), [("quantized", 45), ("low_bit", 148)])
def test_all_node_cases_pass(group: str, expected: int, engine: str, say: Say) -> None:
    wrong = [c.name for c in cases()[group] if not passes(c, engine)]
    say(f"ONNX node tests, {group} operators, {engine}: {len(cases()[group]) - len(wrong)} of {len(cases()[group])} pass")
    assert wrong == []
    assert len(cases()[group]) == expected
