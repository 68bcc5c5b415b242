"""Whole networks beside ONNX Runtime, LiteRT, the qonnx package and ONNX's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx

from hwsim.steps.assemble import assemble
from hwsim.steps.lower import as_written
from tests.bench import _engine_models as models
from tests.bench._clock import Row, interleaved, ratio
from tests.data import shared

TINY = {"KWS": "kws_ref_model", "VWW": "vww_96_int8", "IC": "pretrainedResnet_quant"}


def unsigned() -> list[Row]:
    """uint8 activations, all tensors equal (tests/test_onnxruntime.py holds every tensor against ONNX Runtime's)."""
    rows = []
    for name, must, aim in (("resnet50", 1.05, 1.3), ("resnet18", 1.1, 1.3), ("mobilenet_v2", 1.2, 1.5)):
        found, words = ratio(*models.both(models.network_file(name, False, "QOperator"), {"input": models.IMAGE}))
        rows.append(Row(f"{name} u8 against ONNX Runtime", found, must, aim, words))
    return rows


def signed() -> list[Row]:
    rows = []
    for name in ("resnet50", "resnet18", "mobilenet_v2"):
        for form, must, aim, rounds in (("QDQ", 2, 2.5, 21), ("QOperator", 15, 24, 5)):
            found, words = ratio(*models.both(models.network_file(name, True, form), {"input": models.IMAGE}), rounds=rounds)
            rows.append(Row(f"{name} s8 against ONNX Runtime {form}", found, must, aim, words))
    return rows


def tiny() -> list[Row]:
    """The MLPerf Tiny networks as published, against LiteRT with XNNPACK and against its reference kernels."""
    from tests.litert import Judged

    rows = []
    for title, file in TINY.items():
        raw = shared(f"models/mlperf_tiny/models/{file}.tflite").read_bytes()
        for kernels, must, aim in (("BUILTIN", 0.7, 1.2), ("BUILTIN_REF", 25, 40)):
            judged = Judged(raw, file, kernels)
            feeds = judged.random_feeds(np.random.default_rng(0))
            ours, theirs = assemble(as_written(judged.graph)), judged.interpreter
            for place, values in zip(theirs.get_input_details(), feeds.values(), strict=True):
                theirs.set_tensor(place["index"], values)
            named = {t: judged.fed(t, values) for t, values in feeds.items()}
            found, words = ratio(theirs.invoke, lambda a=ours, f=named: a.run(f), rounds=101)
            peer = "XNNPACK" if kernels == "BUILTIN" else kernels
            rows.append(Row(f"{title} against LiteRT {peer}", found, must, aim, words))
    return rows


def simulators() -> list[Row]:
    """ResNet-50 with uint8 activations against tools that compute node by node in NumPy or ONNX Runtime."""
    from onnx.reference import ReferenceEvaluator
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    file = models.network_file("resnet50", False, "QDQ")
    proto = onnx.load(file)
    ours = models.assembled(file)
    reference, wrapper = ReferenceEvaluator(proto), ModelWrapper(proto)
    feeds = {"input": models.IMAGE}
    taken = interleaved(lambda: execute_onnx(wrapper, feeds), lambda: reference.run(None, feeds), lambda: ours.run(feeds), rounds=3)
    times = np.median(taken, 1) * 1e3
    return [
        Row(f"resnet50 against {name}", times[i] / times[2], must, aim, f"{times[i]:.0f} ms against {times[2]:.2f} ms")
        for i, (name, must, aim) in enumerate((("qonnx", 40, 70), ("ReferenceEvaluator", 50, 80)))
    ]
