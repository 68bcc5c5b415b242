"""The `qonnx` package as a judge, and FINN's binary and ternary CNV networks as QONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.quant import Array
from tests.data import loaders

pytest.importorskip("qonnx", reason="the qonnx package judges these tests")
DOMAIN = "qonnx.custom_op.general"


def with_batch(model: Any, batch: int) -> Any:
    """The model for another batch size."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {t.name for t in copy.graph.initializer}
    for v in (*copy.graph.input, *copy.graph.output):
        if v.name not in constants:
            v.type.tensor_type.shape.dim[0].dim_value = batch
    del copy.graph.value_info[:]
    return copy


def run_qonnx(model: Any, feeds: Mapping[str, Array]) -> Array:
    """The first output of a model, by `qonnx.core.onnx_exec` with ONNX Runtime for the standard operators.

    The package writes its one-node models with the newest IR version; it is capped to what the installed runtime reads.
    """
    from qonnx.core import onnx_exec
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    make = onnx_exec.qonnx_make_model

    def capped(graph: Any, **kwargs: Any) -> Any:
        one = make(graph, **kwargs)
        one.ir_version = min(one.ir_version, 10)
        return one

    wrapped = ModelWrapper(with_batch(model, len(next(iter(feeds.values()))))).transform(InferShapes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_exec, "qonnx_make_model", capped)
        return np.asarray(onnx_exec.execute_onnx(wrapped, dict(feeds))[model.graph.output[0].name])


class Layers:
    """A QONNX model under construction, layer by layer."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.nodes, self.constants, self.at, self.shape = name, list[Any](), list[Any](), "image", shape

    def add(self, kind: str, *constants: Any, domain: str = "", **attrs: Any) -> Layers:
        names = [f"c{len(self.constants) + i}" for i in range(len(constants))]
        self.constants += [numpy_helper.from_array(np.asarray(c, np.float32), n) for c, n in zip(constants, names, strict=True)]
        y = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.at, *names], [y], f"{kind}_{len(self.nodes)}", domain=domain, **attrs))
        self.at = y
        return self

    def quant(self, scale: Any, bits: int, signed: int = 1, narrow: int = 0, zero: int = 0, mode: str = "ROUND") -> Layers:
        return self.add("Quant", scale, zero, bits, domain=DOMAIN, signed=signed, narrow=narrow, rounding_mode=mode)

    def thresholds(self, values: Array, dtype: str, scale: float, bias: float) -> Layers:
        return self.add("MultiThreshold", values, domain=DOMAIN, out_dtype=dtype, out_scale=scale, out_bias=bias)

    def mac(self, kind: str, weights: Array, quantizer: dict[str, Any], **attrs: Any) -> Layers:
        """A Conv or MatMul with weights behind a quantizer of their own."""
        at, self.at = self.at, f"w{len(self.nodes)}"
        self.constants.append(numpy_helper.from_array(np.asarray(weights, np.float32), self.at))
        self.quant(**quantizer)
        y = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [at, self.at], [y], f"{kind}_{len(self.nodes)}", **attrs))
        self.at = y
        return self

    def model(self, outputs: int) -> Any:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)
        out = helper.make_tensor_value_info(self.at, TensorProto.FLOAT, (self.shape[0], outputs))
        graph = helper.make_graph(self.nodes, self.name, [image], [out], self.constants)
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def finn_cnv(bits: int) -> Any:
    """CNV W1A1 or W2A2 of BNN-PYNQ: six valid 3x3 convolutions, two 2x2 pools, three linear layers.

    Thresholds are reached by what is greater; those of binary layers count equal bits, the dot product is 2 count - K.  The first
    layer's have eight fractional bits, pixels seven (so pixels count double).
    """
    data = loaders().bnn_cnv_w1a1() if bits == 1 else loaders().bnn_cnv_2bit("cnv_w2a2")
    net = Layers(f"cnv_w{bits}a{bits}", (1, 3, 32, 32)).quant(1 / 128, 8).add("Mul", 256)
    for i in range(9):
        weights, limits = _cnv_layer(data, bits, i)
        if i == 6:
            net.add("Flatten", axis=1)
        levels = {"scale": 1, "bits": bits, "narrow": 1}
        net.mac("Conv", weights, levels, kernel_shape=[3, 3]) if i < 6 else net.mac("MatMul", weights.T, levels)
        if limits is not None:
            net.thresholds(limits, "BIPOLAR" if bits == 1 else "INT2", float(3 - bits), -1.0)
        if i in (1, 3):
            net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    return net.model(10)


def _cnv_layer(data: Mapping[str, Array], bits: int, i: int) -> tuple[Array, Array | None]:
    """Weights (outputs, inputs, 3, 3) or (outputs, inputs), and thresholds (outputs, steps) that are reached from there on."""
    if bits == 2:
        w, t = data[f"w{i}"].astype(np.int64), data.get(f"t{i}")
        w = w.reshape(len(w), 3, 3, -1) if i < 6 else w
        reached = None if t is None else t.astype(np.int64) + 1
    else:
        name = f"conv{i}" if i < 6 else f"fc{i - 6}"
        w, t = 2 * data[f"{name}_w"].astype(np.int64) - 1, data.get(f"{name}_t")
        reached = None if t is None else (t + 1 if i == 0 else 2 * (t + 1) - w[0].size)[:, None]
    return (w.transpose(0, 3, 1, 2) if w.ndim == 4 else w), reached


def cnv_images(pixels: Array) -> Array:
    """u8 NHWC images as the network's input: a signed 8-bit number with seven fractional bits, cut off towards minus infinity."""
    real = np.floor((pixels.astype(np.float64) / 255 * 2 - 1) * 128) / 128
    return np.ascontiguousarray(np.clip(real, -1, 127 / 128).astype(np.float32).transpose(0, 3, 1, 2))
