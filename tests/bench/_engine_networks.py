"""Whole networks beside ONNX Runtime, LiteRT, the qonnx package and ONNX's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx

from hwsim.program import Program
from hwsim.shelf import load
from hwsim.steps.assemble import assemble
from hwsim.steps.lower import as_written
from tests.bench import _engine_models as models
from tests.bench._clock import Row, interleaved, ratio
from tests.bench._engine_kernels import widest_macs
from tests.data import shared

TINY = {"KWS": "kws_ref_model", "VWW": "vww_96_int8", "IC": "pretrainedResnet_quant"}
NAMES = {"BUILTIN": "XNNPACK", "BUILTIN_REF": "BUILTIN_REF"}


def unsigned() -> list[Row]:
    """uint8 activations, after every tensor was found equal to ONNX Runtime's."""
    rows = []
    for name, must, aim in (("resnet50", 1.05, 1.3), ("resnet18", 1.1, 1.3), ("mobilenet_v2", 1.2, 1.5)):
        file, feeds = models.network_file(name, False, "QOperator"), {"input": models.IMAGE}
        equal = models.equal_tensors(file, feeds)
        found, words = ratio(*models.both(file, feeds), rounds=21)
        rows.append(Row(f"{name} u8 against ONNX Runtime, {equal} tensors equal", found, must, aim, words))
    return rows


def signed() -> list[Row]:
    rows = []
    for name in ("resnet50", "resnet18", "mobilenet_v2"):
        for form, must, aim, rounds in (("QDQ", 2, 2.5, 15), ("QOperator", 15, 24, 3)):
            found, words = ratio(*models.both(models.network_file(name, True, form), {"input": models.IMAGE}), rounds=rounds)
            rows.append(Row(f"{name} s8 against ONNX Runtime {form}", found, must, aim, words))
    return rows


def tiny() -> list[Row]:
    """The MLPerf Tiny networks as published, against LiteRT with XNNPACK and against its reference kernels; outputs are equal in each."""
    from tests.litert import Judged

    rows = []
    for title, file in TINY.items():
        raw = shared(f"models/mlperf_tiny/models/{file}.tflite").read_bytes()
        for kernels, must, aim in (("BUILTIN", 0.7, 1.2), ("BUILTIN_REF", 25, 40)):
            judged = Judged(raw, file, kernels)
            feeds = judged.random_feeds(np.random.default_rng(0))
            assert judged.differing(feeds, "numba") == []
            ours, theirs = assemble(as_written(judged.graph)), judged.interpreter
            found, words = ratio(theirs.invoke, lambda a=ours, f=feeds: a.run(f), rounds=51)
            rows.append(Row(f"{title} against LiteRT {NAMES[kernels]}", found, must, aim, words))
    return rows


def simulators() -> list[Row]:
    """ResNet-50 with uint8 activations against tools that compute node by node in NumPy or ONNX Runtime."""
    from onnx.reference import ReferenceEvaluator
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    file = models.network_file("resnet50", False, "QDQ")
    proto = onnx.load(file)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    ours = models.assembled(file)
    reference, wrapper = ReferenceEvaluator(proto), ModelWrapper(proto).transform(InferShapes())
    feeds = {"input": models.IMAGE}
    limit, products = widest_macs()
    calls = (lambda: execute_onnx(wrapper, feeds), lambda: reference.run(None, feeds), lambda: ours.run(feeds), limit)
    times = np.median(interleaved(*calls, rounds=3), 1) * 1e3
    least = _macs(ours.program) * times[3] / products
    return [
        Row(f"resnet50 against {name}", times[i] / times[2], must, aim, _beside_limit(times[i], times[2], least))
        for i, (name, must, aim) in enumerate((("qonnx", 40, 70), ("ReferenceEvaluator", 50, 80)))
    ]


def _macs(program: Program) -> int:
    """Products of a network."""
    steps = [(s, load("ops", s.op)) for layer in program.layers for s in layer.steps]
    return sum(op.loops(s.node, s.inputs, s.outputs).macs for s, op in steps if hasattr(op, "loops"))


def _beside_limit(theirs: float, ours: float, least: float) -> str:
    """Milliseconds of both, and the ratio of a program that made nothing but products, at the peak of the processor."""
    return f"{theirs:.0f} ms against {ours:.2f} ms; the products alone at this processor's peak: {least:.2f} ms, {theirs / least:.3g} x"
