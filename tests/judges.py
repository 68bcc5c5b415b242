"""ONNX Runtime as a judge: every tensor of a model, and its integer kernel for one fused step of hwsim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwsim.io.onnx_definitions import TYPES
from hwsim.program import Step
from hwsim.quant import Array

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime judges these tests")
MICROSOFT = "com.microsoft"


def session(model: Any, optimize: bool = False) -> Any:
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model if isinstance(model, bytes) else model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def all_tensors(model: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor that a node of the model makes, as ONNX Runtime computes it with graph optimizations off."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {o.name for o in copy.graph.output}
    names = [t for n in copy.graph.node for t in n.output if t]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(t) for t in names if t not in have)
    return dict(zip(names, session(copy).run(names, dict(feeds)), strict=True))


class OneNode:
    """A model of one node under construction: constants and fed inputs in order."""

    def __init__(self, kind: str, domain: str = "", **attrs: Any) -> None:
        self.kind, self.domain, self.attrs = kind, domain, attrs
        self.names: list[str] = []
        self.constants: list[Any] = []
        self.fed: dict[str, Array] = {}

    def feed(self, array: Array) -> OneNode:
        name = f"x{len(self.names)}"
        self.names.append(name)
        self.fed[name] = np.ascontiguousarray(array)
        return self

    def constant(self, array: Any) -> OneNode:
        name = f"c{len(self.names)}"
        self.names.append(name)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return self

    def absent(self) -> OneNode:
        self.names.append("")
        return self

    def quant(self, q: Any) -> OneNode:
        """Scale and zero point of a stored tensor."""
        return self.constant(np.asarray(q.scale, np.float32)).constant(q.zero_point.astype(q.format.dtype))

    def run(self, opset: int = 19) -> Array:
        return np.asarray(session(self.model(opset)).run(None, self.fed)[0])

    def model(self, opset: int = 19) -> Any:
        node = helper.make_node(self.kind, self.names, ["y"], domain=self.domain, **self.attrs)
        inputs = [helper.make_tensor_value_info(k, TYPES[a.dtype.name], a.shape) for k, a in self.fed.items()]
        graph = helper.make_graph([node], "one", inputs, [helper.make_empty_tensor_value_info("y")], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)])
        model.ir_version = 10
        return model


def fused_by_onnxruntime(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    """The same stored numbers through ONNX Runtime's integer kernel for the step, None when it has none."""
    judge = _JUDGES.get(step.op)
    return None if judge is None else judge(step, arrays)


def _window(step: Step) -> dict[str, Any]:
    a = step.node.attrs
    return {"kernel_shape": list(a["kernel"]), "strides": list(a["strides"]), "pads": [*a["before"], *(max(v, 0) for v in a["after"])]}


def _conv(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    x, w, y = step.inputs[0], step.inputs[1], step.outputs[0]
    assert x is not None and w is not None
    if y.quant is None:
        return None
    node = OneNode("QLinearConv", dilations=list(step.node.attrs["dilations"]), group=step.node.attrs["group"], **_window(step))
    node.feed(arrays[0]).quant(x.quant).constant(arrays[1]).quant(w.quant).quant(y.quant)
    if len(arrays) > 2 and arrays[2] is not None:
        node.constant(_bias(step, arrays[2]))
    return _clipped(step, node.run())


def _bias(step: Step, array: Array) -> Array:
    from hwsim.ops._mac import epilogue

    channels = step.outputs[0].shape[1] if step.op == "conv" else step.outputs[0].shape[-1]
    return epilogue(step, channels).bias.astype(np.int32)


def _clipped(step: Step, y: Array) -> Array:
    from hwsim.ops._mac import bounds

    return np.clip(y, *bounds(step))


def _matmul(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    a, b, y = step.inputs[0], step.inputs[1], step.outputs[0]
    assert a is not None and b is not None
    attrs = step.node.attrs
    if y.quant is None or attrs["trans_a"]:
        return None
    if len(a.shape) == 2 and len(b.shape) == 2:
        node = OneNode("QGemm", MICROSOFT, transB=int(attrs["trans_b"]), alpha=attrs["alpha"])
        node.feed(arrays[0]).quant(a.quant).constant(arrays[1]).quant(b.quant)
        node = node.constant(_bias(step, arrays[2])) if len(arrays) > 2 and arrays[2] is not None else node.absent()
        return _clipped(step, node.quant(y.quant).run())
    if attrs["trans_b"]:
        return None
    return _clipped(step, OneNode("QLinearMatMul").feed(arrays[0]).quant(a.quant).feed(arrays[1]).quant(b.quant).quant(y.quant).run())


def _binary(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    kind = {"add": "QLinearAdd", "mul": "QLinearMul"}.get(step.node.attrs["function"])
    a, b, y = *step.inputs, step.outputs[0]
    if kind is None or len(arrays) != 2 or a is None or b is None:
        return None
    return _clipped(step, OneNode(kind, MICROSOFT).feed(arrays[0]).quant(a.quant).feed(arrays[1]).quant(b.quant).quant(y.quant).run())


def _average(step: Step, arrays: Sequence[Array | None]) -> Array:
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    if step.node.attrs["global"]:
        node = OneNode("QLinearGlobalAveragePool", MICROSOFT, channels_last=0)
    else:
        node = OneNode("QLinearAveragePool", MICROSOFT, count_include_pad=int(step.node.attrs["count_pad"]), **_window(step))
    return _clipped(step, node.feed(arrays[0]).quant(x.quant).quant(y.quant).run())


def _max(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None and x.quant is not None and y.quant is not None
    found = OneNode("MaxPool", dilations=list(step.node.attrs["dilations"]), **_window(step)).feed(arrays[0]).run()
    return found if x.quant.same_grid(y.quant) else y.quant.quantize(x.quant.dequantize(found))


def _concat(step: Step, arrays: Sequence[Array | None]) -> Array:
    node = OneNode("QLinearConcat", MICROSOFT, axis=step.node.attrs["axis"]).quant(step.outputs[0].quant)
    for t, a in zip(step.inputs, arrays, strict=True):
        assert t is not None
        node.feed(a).quant(t.quant)
    return node.run()


def _softmax(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    axes = step.node.attrs["axes"]
    if axes != (len(x.shape) - 1,):
        moved = np.moveaxis(arrays[0], axes[0], -1) if len(axes) == 1 else None
        if moved is None:
            return None
        return np.moveaxis(
            OneNode("QLinearSoftmax", MICROSOFT, axis=-1, opset=13).feed(moved).quant(x.quant).quant(y.quant).run(), -1, axes[0]
        )
    return OneNode("QLinearSoftmax", MICROSOFT, axis=-1, opset=13).feed(arrays[0]).quant(x.quant).quant(y.quant).run()


def _unary(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    kind = {"sigmoid": "QLinearSigmoid", "leaky_relu": "QLinearLeakyRelu"}.get(step.node.attrs["function"])
    x, y = step.inputs[0], step.outputs[0]
    if kind is None or x is None:
        return None
    return OneNode(kind, MICROSOFT, **step.node.attrs["params"]).feed(arrays[0]).quant(x.quant).quant(y.quant).run()


def _quantize(step: Step, arrays: Sequence[Array | None]) -> Array | None:
    x, y = step.inputs[0], step.outputs[0]
    if x is None or x.quant is not None or y.quant is None or y.quant.axis is not None:
        return None
    return OneNode("QuantizeLinear").feed(arrays[0]).quant(y.quant).run()


_JUDGES = {
    "conv": _conv,
    "matmul": _matmul,
    "binary": _binary,
    "average_pool": _average,
    "max_pool": _max,
    "concat": _concat,
    "softmax": _softmax,
    "unary": _unary,
    "quantize": _quantize,
}
