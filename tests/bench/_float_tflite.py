"""Two float networks of MLPerf Tiny that exist as TFLite files alone, rebuilt with ONNX's operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwsim.graph import SourceGraph
from hwsim.quant import Array
from hwsim.topologies._net import Net

__all__ = ["read_float_tflite"]

ADD, AVERAGE_POOL, CONV, DEPTHWISE, LINEAR, RESHAPE, SOFTMAX = 0, 1, 3, 4, 9, 22, 25
DTYPES = {0: np.float32, 2: np.int32, 9: np.int8}


class _File:
    """The tensors of a file, and the options of its operators."""

    def __init__(self, path: Path) -> None:
        import tflite

        self.tflite = tflite
        self.model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
        self.graph = self.model.Subgraphs(0)

    def code(self, op: Any) -> int:
        entry = self.model.OperatorCodes(op.OpcodeIndex())
        return max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())

    def array(self, index: int) -> Array:
        """A constant; int8 weights of dynamic-range files in real numbers."""
        t = self.graph.Tensors(index)
        raw = self.model.Buffers(t.Buffer()).DataAsNumpy()
        held = np.frombuffer(raw.tobytes(), DTYPES[t.Type()]).reshape(t.ShapeAsNumpy())
        return held.astype(np.float32) * t.Quantization().Scale(0) if t.Type() == 9 else held

    def options(self, op: Any, kind: str) -> Any:
        found = getattr(self.tflite, kind)()
        found.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        return found


def read_float_tflite(path: Path) -> SourceGraph:
    """The network with channels second; its input is (N, C, H, W)."""
    file, net = _File(path), Net(path.stem)
    shape = file.graph.Tensors(file.graph.Inputs(0)).ShapeAsNumpy()
    names = {int(file.graph.Inputs(0)): net.input("input", (1, int(shape[3]), int(shape[1]), int(shape[2])))}
    for i in range(file.graph.OperatorsLength()):
        op = file.graph.Operators(i)
        y = _operator(file, net, op, [int(t) for t in op.InputsAsNumpy()], names)
        names[int(op.OutputsAsNumpy()[0])] = y
    return net.finish(names[int(file.graph.Outputs(0))])


def _operator(file: _File, net: Net, op: Any, inputs: list[int], names: dict[int, str]) -> str:
    code, x = file.code(op), names[inputs[0]]
    if code in (CONV, DEPTHWISE):
        return _conv(file, net, op, x, inputs, code == DEPTHWISE)
    if code == ADD:
        y = net.add(x, names[inputs[1]])
        return _activated(net, y, file.options(op, "AddOptions").FusedActivationFunction())
    if code == AVERAGE_POOL:
        assert net.shapes[x][2:] == (file.options(op, "Pool2DOptions").FilterHeight(), file.options(op, "Pool2DOptions").FilterWidth())
        return net.global_pool(x)
    if code == RESHAPE:
        return net.flatten(x)
    if code == LINEAR:
        w, b = net.constant(f"w{inputs[1]}", file.array(inputs[1])), net.constant(f"b{inputs[2]}", file.array(inputs[2]))
        return net.node("Gemm", [x, w, b], (1, net.shapes[w][0]), transB=1)
    assert code == SOFTMAX, f"operator {code}"
    return net.node("Softmax", [x], net.shapes[x], axis=1)


def _conv(file: _File, net: Net, op: Any, x: str, inputs: list[int], depthwise: bool) -> str:
    options = file.options(op, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
    w = file.array(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    kernel, strides, size = w.shape[2:], (options.StrideH(), options.StrideW()), net.shapes[x][2:]
    out = [-(-n // s) if options.Padding() == 0 else (n - k) // s + 1 for n, k, s in zip(size, kernel, strides, strict=True)]
    total = [max((o - 1) * s + k - n, 0) for o, s, k, n in zip(out, strides, kernel, size, strict=True)]
    pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    held = [x, net.constant(f"w{inputs[1]}", np.ascontiguousarray(w)), net.constant(f"b{inputs[2]}", file.array(inputs[2]))]
    group = net.shapes[x][1] if depthwise else 1
    y = net.node("Conv", held, (1, len(w), *out), kernel_shape=list(kernel), strides=list(strides), pads=pads, group=group)
    return _activated(net, y, options.FusedActivationFunction())


def _activated(net: Net, x: str, function: int) -> str:
    assert function in (0, 1), f"activation {function}"
    return net.relu(x) if function else x
