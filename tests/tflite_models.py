"""TFLite files of one operator, built with LiteRT's own copy of the schema; and random ones of every kind that hwsim reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hwsim.quant import Array

schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="LiteRT judges these tests")
flatbuffers = pytest.importorskip("flatbuffers")

Rng = np.random.Generator
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9, "int4": 17}
NONE, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)


def quant(scale: Any, zero_point: Any = 0, axis: int = 0) -> Any:
    q = schema.QuantizationParametersT()
    q.scale = np.atleast_1d(np.asarray(scale, np.float32))
    q.zeroPoint = np.broadcast_to(np.atleast_1d(np.asarray(zero_point, np.int64)), q.scale.shape)
    q.quantizedDimension = axis
    return q


class Model:
    """A file under construction: tensors by number, one operator after the other."""

    def __init__(self) -> None:
        self.file, self.graph = schema.ModelT(), schema.SubGraphT()
        self.file.version, self.file.buffers = 3, [schema.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.file.subgraphs, self.file.operatorCodes = [self.graph], []

    def tensor(self, shape: Sequence[int], fmt: str, q: Any = None, data: Any = None, variable: bool = False) -> int:
        t = schema.TensorT()
        t.shape, t.type, t.quantization, t.name = [int(v) for v in shape], TYPES[fmt], q, f"t{len(self.graph.tensors)}"
        t.isVariable, t.buffer = variable, 0
        if data is not None:
            held = schema.BufferT()
            held.data = _packed(np.asarray(data), fmt)
            self.file.buffers.append(held)
            t.buffer = len(self.file.buffers) - 1
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def input(self, shape: Sequence[int], fmt: str, q: Any = None) -> int:
        self.graph.inputs.append(self.tensor(shape, fmt, q))
        return int(self.graph.inputs[-1])

    def numbers(self, values: Any) -> int:
        array = np.asarray(values, np.int32)
        return self.tensor(array.shape, "int32", None, array)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        version: int = 1,
        middle: Any = None,
        **fields: Any,
    ) -> Model:
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        self.file.operatorCodes.append(code)
        op.opcodeIndex, op.inputs, op.outputs = len(self.file.operatorCodes) - 1, list(inputs), list(outputs)
        if options:
            op.builtinOptions = getattr(schema, f"{options}OptionsT")()
            op.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            for key, value in fields.items():
                setattr(op.builtinOptions, key, value)
        if middle:
            op.intermediates = middle
        self.graph.operators.append(op)
        self.graph.outputs = list(outputs)
        return self

    def bytes(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.file.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _packed(array: Array, fmt: str) -> Array:
    if fmt == "int4":
        flat = array.ravel().astype(np.int8).view(np.uint8) & 15
        flat = np.append(flat, np.zeros(len(flat) % 2, np.uint8))
        return (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8)
    return np.frombuffer(np.ascontiguousarray(array, fmt).tobytes(), np.uint8)


def scale(rng: Rng, low: float = -3, high: float = 0) -> np.float32:
    return np.float32(10 ** rng.uniform(low, high))


def zero(rng: Rng, fmt: str) -> int:
    """A zero point: often an end of the range or 0; 16-bit tensors have none."""
    if fmt == "int16":
        return 0
    ends = np.iinfo(fmt)
    return int(rng.choice([0, ends.min, ends.max, rng.integers(ends.min, ends.max + 1)]))


def stored(rng: Rng, shape: Any, fmt: str) -> Array:
    low, high = (-8, 7) if fmt == "int4" else (np.iinfo(fmt).min, np.iinfo(fmt).max)
    return rng.integers(low, high + 1, shape)


def ints(rng: Rng, low: int, high: int, count: int) -> list[int]:
    return [int(v) for v in rng.integers(low, high + 1, count)]


def activation(rng: Rng) -> int:
    return int(rng.choice([NONE, NONE, RELU, RELU6, RELU_N1_TO_1]))


# Products ----------------------------------------------------------------------------------------------------------------------------


class Operands:
    """Input, weights, bias and output of a product, the output's scale such that it neither vanishes nor saturates."""

    def __init__(
        self, rng: Rng, x: str, w: str, bias: str, x_shape: Sequence[int], w_shape: Sequence[int], axis: int, outputs: int, depth: int
    ):
        self.model = m = Model()
        per_channel = w != "uint8" and rng.random() < 0.7
        x_scale, w_scale = scale(rng, -2.5, -0.5), (10 ** rng.uniform(-3, -1, outputs if per_channel else 1)).astype(np.float32)
        half = {"uint8": 60, "int8": 60, "int16": 15000}[x]
        reach = half * (4 if w == "int4" else 60) * depth**0.5
        self.x = m.input(x_shape, x, quant(x_scale, zero(rng, x)))
        self.w = m.tensor(w_shape, w, quant(w_scale, zero(rng, w) if w == "uint8" else 0, axis), stored(rng, w_shape, w))
        y_scale = float(x_scale) * float(w_scale.mean()) * reach / half * 10 ** rng.uniform(-0.6, 0.6)
        self.y_quant = quant(y_scale, zero(rng, x))
        self.bias = []
        if bias:
            limit = int(min(reach, 2**30))
            self.bias = [m.tensor([outputs], bias, quant(x_scale * w_scale, 0), rng.integers(-limit, limit + 1, outputs))]


def conv(x: str, w: str, bias: str, bias_type: int = 0) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        groups = int(rng.choice([1, 1, 1, 2, 4]))
        ic, oc = (groups * v for v in ints(rng, 1, 8, 2))
        (kh, kw), (sh, sw) = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2)
        dh, dw = ints(rng, 1, 2, 2) if rng.random() < 0.3 else (1, 1)
        rows, columns = int(rng.integers((kh - 1) * dh + 1, 14)), int(rng.integers((kw - 1) * dw + 1, 14))
        shape = [int(rng.integers(1, 3)), rows, columns, ic]
        o = Operands(rng, x, w, bias, shape, [oc, kh, kw, ic // groups], 0, oc, kh * kw * ic // groups)
        y = o.model.tensor([1, 1, 1, oc], x, o.y_quant)
        window = {"padding": int(rng.integers(2)), "strideH": sh, "strideW": sw, "dilationHFactor": dh, "dilationWFactor": dw}
        fields = {**window, "fusedActivationFunction": activation(rng), "quantizedBiasType": bias_type}
        return o.model.operator("CONV_2D", [o.x, o.w, *o.bias], [y], "Conv2D", 8 if bias_type else 5, **fields)

    return build


def hybrid_conv(rng: Rng) -> Model:
    """Real images, int8 filters with one scale."""
    m, (ic, oc) = Model(), ints(rng, 1, 9, 2)
    (kh, kw), (sh, sw) = ints(rng, 1, 4, 2), ints(rng, 1, 3, 2)
    x = m.input([int(rng.integers(1, 4)), *ints(rng, 4, 12, 2), ic], "float32")
    w = m.tensor([oc, kh, kw, ic], "int8", quant(scale(rng)), rng.integers(-127, 128, (oc, kh, kw, ic)))
    bias = m.tensor([oc], "float32", None, rng.normal(0, 1, oc))
    y = m.tensor([1, 1, 1, oc], "float32")
    window = {"padding": int(rng.integers(2)), "strideH": sh, "strideW": sw, "dilationHFactor": 1, "dilationWFactor": 1}
    return m.operator("CONV_2D", [x, w, bias], [y], "Conv2D", 2, **window, fusedActivationFunction=activation(rng))


def hybrid_fully_connected(rng: Rng) -> Model:
    """Real rows, int8 weights with one scale."""
    m, (batch, depth, outputs) = Model(), (int(rng.integers(1, 5)), int(rng.integers(1, 200)), int(rng.integers(1, 40)))
    x = m.input([batch, depth], "float32")
    w = m.tensor([outputs, depth], "int8", quant(scale(rng)), rng.integers(-127, 128, (outputs, depth)))
    bias = [m.tensor([outputs], "float32", None, rng.normal(0, 1, outputs))] if rng.integers(2) else []
    y = m.tensor([batch, outputs], "float32")
    return m.operator("FULLY_CONNECTED", [x, w, *bias], [y], "FullyConnected", 3, fusedActivationFunction=activation(rng))


def depthwise(x: str, w: str, bias: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        ic, times = int(rng.integers(1, 17)), int(rng.choice([1, 1, 1, 2, 3]))
        (kh, kw), stride = ints(rng, 1, 4, 2), int(rng.integers(1, 4))
        wide = int(rng.integers(1, 3)) if rng.random() < 0.3 else 1
        rows, columns = int(rng.integers((kh - 1) * wide + 1, 14)), int(rng.integers((kw - 1) * wide + 1, 14))
        o = Operands(rng, x, w, bias, [int(rng.integers(1, 3)), rows, columns, ic], [1, kh, kw, ic * times], 3, ic * times, kh * kw)
        y = o.model.tensor([1, 1, 1, ic * times], x, o.y_quant)
        window = {"padding": int(rng.integers(2)), "strideH": stride, "strideW": stride, "dilationHFactor": wide, "dilationWFactor": wide}
        fields = {**window, "depthMultiplier": times, "fusedActivationFunction": activation(rng)}
        return o.model.operator("DEPTHWISE_CONV_2D", [o.x, o.w, *o.bias], [y], "DepthwiseConv2D", 6, **fields)

    return build


def fully_connected(x: str, w: str, bias: str, bias_type: int = 0) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        depth, outputs, keep = int(rng.integers(1, 200)), int(rng.integers(1, 40)), bool(rng.random() < 0.3)
        batch = ints(rng, 1, 4, 2) if keep else [int(rng.integers(1, 5))]
        o = Operands(rng, x, w, bias, [*batch, depth], [outputs, depth], 0, outputs, depth)
        weights = o.model.graph.tensors[o.w].quantization
        if w == "int8" and len(weights.scale) == 1 and rng.random() < 0.4:
            weights.zeroPoint = np.array([int(rng.integers(-20, 20))])
        y = o.model.tensor([*batch, outputs], x, o.y_quant)
        fields = {"fusedActivationFunction": activation(rng), "quantizedBiasType": bias_type, "keepNumDims": keep}
        return o.model.operator("FULLY_CONNECTED", [o.x, o.w, *o.bias], [y], "FullyConnected", 11, **fields)

    return build


def transpose_conv(x: str, w: str, bias: str, bias_type: int = 0) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        (ic, oc, rows, columns), (kh, kw), stride, valid = (
            ints(rng, 1, 7, 4),
            ints(rng, 1, 4, 2),
            int(rng.integers(1, 4)),
            int(rng.integers(2)),
        )
        out = [(n - 1) * stride + k if valid else n * stride for n, k in ((rows, kh), (columns, kw))]
        o = Operands(rng, x, w, bias, [1, rows, columns, ic], [oc, kh, kw, ic], 0, oc, max(1, kh * kw * ic // stride**2))
        y, size = o.model.tensor([1, *out, oc], x, o.y_quant), o.model.numbers([1, *out, oc])
        fields = {"padding": valid, "strideH": stride, "strideW": stride, "fusedActivationFunction": activation(rng)}
        inputs = [size, o.w, o.x, *o.bias]
        return o.model.operator(
            "TRANSPOSE_CONV", inputs, [y], "TransposeConv", 5 if bias_type else 4, quantizedBiasType=bias_type, **fields
        )

    return build


def batch_matmul(x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        (rows, depth, columns), batch, (turn_x, turn_y) = ints(rng, 1, 19, 3), int(rng.integers(1, 5)), rng.integers(2, size=2).astype(bool)
        m, scales = Model(), [scale(rng, -2.5, -0.5) for _ in range(2)]
        a = m.input([batch, depth, rows] if turn_x else [batch, rows, depth], x, quant(scales[0], zero(rng, x)))
        b = m.input([batch, columns, depth] if turn_y else [batch, depth, columns], x, quant(scales[1], zero(rng, x)))
        reach = float(scales[0]) * float(scales[1]) * (60 if x == "int8" else 10000) * depth**0.5
        y = m.tensor([batch, rows, columns], x, quant(reach * 10 ** rng.uniform(-0.5, 0.5), zero(rng, x)))
        return m.operator("BATCH_MATMUL", [a, b], [y], "BatchMatMul", 3, adjX=bool(turn_x), adjY=bool(turn_y))

    return build


# Number by number --------------------------------------------------------------------------------------------------------------------


def _two_shapes(rng: Rng) -> tuple[list[int], list[int]]:
    a = ints(rng, 1, 5, 4)
    b = a if rng.random() < 0.6 else [v if rng.random() < 0.5 else 1 for v in a]
    return (a, b) if rng.random() < 0.5 else (b, a)


def pairs(name: str, x: str, by_shifts: bool = False) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        shapes = _two_shapes(rng)
        m, scales = Model(), [scale(rng), scale(rng)]
        if by_shifts:  # broadcasting stops LiteRT's process here
            shapes, scales = (shapes[0], shapes[0]), [np.float32(2.0**e) for e in ints(rng, -14, -7, 2)]
        elif rng.random() < 0.1:
            scales[1] = scales[0]
        largest = float(max(scales)) * 10 ** rng.uniform(-0.5, 0.7)
        product = float(scales[0]) * float(scales[1]) * (60 if x != "int16" else 16000) * 10 ** rng.uniform(-0.6, 0.6)
        y_scale = max(scales) if by_shifts else product if name == "MUL" else largest
        a, b = (m.input(shape, x, quant(s, zero(rng, x))) for shape, s in zip(shapes, scales, strict=True))
        y = m.tensor(np.broadcast_shapes(*shapes), x, quant(y_scale, zero(rng, x)))
        more = {"potScaleInt16": by_shifts} if name != "MUL" else {}
        return m.operator(name, [a, b], [y], name.title(), 3, fusedActivationFunction=activation(rng), **more)

    return build


def extremes(name: str, x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, q, shapes = Model(), quant(scale(rng), zero(rng, x)), _two_shapes(rng)
        a, b = (m.input(shape, x, q) for shape in shapes)
        return m.operator(name, [a, b], [m.tensor(np.broadcast_shapes(*shapes), x, q)], "MaximumMinimum", 4)

    return build


def single(
    name: str, x: str, options: str = "", version: int = 1, ratio: float = 0.5, **fields: Callable[[Rng], Any]
) -> Callable[[Rng], Model]:
    """Every stored number once, on two grids whose scales are within 10^+-ratio."""

    def build(rng: Rng) -> Model:
        m, s = Model(), scale(rng, -2.5, 0.3)
        shape = [1, 256] if x != "int16" else [1, 512]
        a = m.input(shape, x, quant(s, zero(rng, x)))
        y = m.tensor(shape, x, quant(s * np.float32(10 ** rng.uniform(-ratio, ratio)), zero(rng, x)))
        return m.operator(name, [a], [y], options, version, **{k: v(rng) for k, v in fields.items()})

    return build


def bounded(name: str, x: str) -> Callable[[Rng], Model]:
    """LOGISTIC and TANH, whose output's grid is fixed."""
    one = {"LOGISTIC": 256, "TANH": 128}[name] if x != "int16" else 32768
    middle = {"LOGISTIC": {"uint8": 0, "int8": -128}, "TANH": {"uint8": 128, "int8": 0}}[name].get(x, 0)

    def build(rng: Rng) -> Model:
        m, power = Model(), int(rng.integers(8, 15))
        s = np.float32(2.0**-power) if x == "int16" and rng.random() < 0.5 else scale(rng, -4, -2) if x == "int16" else scale(rng)
        shape = [1, 256] if x != "int16" else [1, 2048]
        a, y = m.input(shape, x, quant(s, zero(rng, x))), m.tensor(shape, x, quant(1 / one, middle))
        return m.operator(name, [a], [y], "", 3 if x == "int16" else 2)

    return build


def prelu(x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, c, s = Model(), int(rng.integers(1, 9)), scale(rng, -2.5, -0.3)
        a = m.input([1, 5, 4, c], x, quant(s, zero(rng, x)))
        slope = m.tensor([1, 1, c], x, quant(scale(rng, -3, -1.5), zero(rng, x)), stored(rng, (1, 1, c), x))
        y = m.tensor([1, 5, 4, c], x, quant(s * np.float32(10 ** rng.uniform(-0.3, 0.5)), zero(rng, x)))
        return m.operator("PRELU", [a, slope], [y])

    return build


def requantize(x: str, y: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, s = Model(), scale(rng)
        other = s if rng.random() < 0.3 else np.float32(s * 10 ** rng.uniform(-1, 1))
        a = m.input([3, 200], x, None if x == "float32" else quant(s, 0 if x == "int32" else zero(rng, x)))
        return m.operator("QUANTIZE", [a], [m.tensor([3, 200], y, quant(other, zero(rng, y)))], "Quantize", 2)

    return build


def dequantize(x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m = Model()
        a = m.input([3, 200], x, quant(scale(rng), zero(rng, x)))
        return m.operator("DEQUANTIZE", [a], [m.tensor([3, 200], "float32")], "Dequantize", 3)

    return build


def softmax(x: str, y: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, shape = Model(), [*ints(rng, 1, 4, 2), int(rng.integers(1, 40))]
        a = m.input(shape, x, quant(scale(rng, -4 if x == "int16" else -2.5, 0), zero(rng, x)))
        grid = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128), "int16": (1 / 32768, 0)}[y]
        grid = (1 / 65536, -32768) if (x, y) == ("int8", "int16") else grid
        return m.operator("SOFTMAX", [a], [m.tensor(shape, y, quant(*grid))], "Softmax", 3, beta=float(rng.choice([1, 1, 0.5, 2])))

    return build


def mean(x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, shape, keep = Model(), ints(rng, 1, 8, 4), bool(rng.integers(2))
        axes = sorted(int(v) for v in rng.choice(4, int(rng.integers(1, 4)), replace=False))
        s = scale(rng)
        a = m.input(shape, x, quant(s, zero(rng, x)))
        out = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
        y = m.tensor(out, x, quant(s * np.float32(10 ** rng.uniform(-0.7, 0.4)), zero(rng, x)))
        return m.operator("MEAN", [a, m.numbers(axes)], [y], "Reducer", 2, keepDims=keep)

    return build


# Images and moves --------------------------------------------------------------------------------------------------------------------


def pool(name: str, x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        (kh, kw), stride, m = ints(rng, 1, 5, 2), int(rng.integers(1, 4)), Model()
        q = quant(scale(rng, -2, 0.5), zero(rng, x))
        shape = [int(rng.integers(1, 3)), int(rng.integers(kh, 14)), int(rng.integers(kw, 14)), int(rng.integers(1, 9))]
        a, y = m.input(shape, x, q), m.tensor([1, 1, 1, 1], x, q)
        window = {"padding": int(rng.integers(2)), "strideH": stride, "strideW": stride, "filterHeight": kh, "filterWidth": kw}
        return m.operator(name, [a], [y], "Pool2D", 3, fusedActivationFunction=activation(rng), **window)

    return build


def resize(name: str, x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, (rows, columns, c), out = Model(), ints(rng, 1, 11, 3), ints(rng, 1, 29, 2)
        out = [2 * rows, 2 * columns] if rng.random() < 0.4 else out
        aligned, centred = [(False, False), (True, False), (False, True)][int(rng.integers(3))]
        q = quant(scale(rng), zero(rng, x))
        a, y = m.input([1, rows, columns, c], x, q), m.tensor([1, *out, c], x, q)
        options = "ResizeBilinear" if "BILINEAR" in name else "ResizeNearestNeighbor"
        return m.operator(name, [a, m.numbers(out)], [y], options, 3, alignCorners=aligned, halfPixelCenters=centred)

    return build


def concatenation(x: str) -> Callable[[Rng], Model]:
    """On different grids for uint8 alone: LiteRT refuses the others."""

    def build(rng: Rng) -> Model:
        m, s, z, rest = Model(), scale(rng), zero(rng, x), ints(rng, 1, 5, 2)
        sizes = ints(rng, 1, 5, int(rng.integers(1, 5)))
        quants = [
            quant(s, z) if x != "uint8" or rng.random() < 0.3 else quant(s * 10 ** rng.uniform(-0.5, 0.5), zero(rng, x)) for _ in sizes
        ]
        inputs = [m.input([1, *rest, n], x, q) for n, q in zip(sizes, quants, strict=True)]
        y = m.tensor([1, *rest, sum(sizes)], x, quant(s, z))
        return m.operator("CONCATENATION", inputs, [y], "Concatenation", 2, axis=int(rng.choice([3, -1])))

    return build


def pad(name: str, x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, shape, widths, q = Model(), ints(rng, 1, 4, 4), rng.integers(0, 4, (4, 2)), quant(scale(rng), zero(rng, x))
        value = [m.tensor([1], x, q, stored(rng, 1, x))] if name == "PADV2" else []
        a, y = m.input(shape, x, q), m.tensor(np.add(shape, widths.sum(1)), x, q)
        return m.operator(name, [a, m.numbers(widths), *value], [y], "PadV2" if value else "Pad", 3 if x == "int16" else 2)

    return build


def strided_slice(x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, shape = Model(), ints(rng, 2, 7, 3)
        begin = [int(rng.integers(0, n)) for n in shape]
        end = [int(rng.integers(b + 1, n + 1)) for b, n in zip(begin, shape, strict=True)]
        q = quant(0.1, zero(rng, x))
        a, boxes = m.input(shape, x, q), [m.numbers(v) for v in (begin, end, ints(rng, 1, 2, 3))]
        masks = dict(zip(("beginMask", "endMask", "shrinkAxisMask"), [*ints(rng, 0, 7, 2), int(rng.choice([0, 0, 1, 2, 4]))], strict=True))
        return m.operator("STRIDED_SLICE", [a, *boxes], [m.tensor([1], x, q)], "StridedSlice", 4 if x == "int16" else 2, **masks)

    return build


def move(name: str, x: str) -> Callable[[Rng], Model]:
    def build(rng: Rng) -> Model:
        m, q = Model(), quant(0.1, zero(rng, x))
        if name == "SPLIT":
            n = int(rng.integers(1, 4))
            axis, a = m.numbers(2), m.input([2, 3, n * 2], x, q)
            return m.operator(name, [axis, a], [m.tensor([2, 3, 2], x, q) for _ in range(n)], "Split", 4, numSplits=n)
        if name == "PACK":
            axis = int(rng.integers(0, 3))
            inputs, shape = [m.input([2, 3], x, q) for _ in range(3)], [2, 3]
            shape.insert(axis, 3)
            return m.operator(name, inputs, [m.tensor(shape, x, q)], "Pack", 3, valuesCount=3, axis=axis)
        if name == "TRANSPOSE":
            a, perm = m.input([2, 3, 4, 5], x, q), rng.permutation(4)
            return m.operator(name, [a, m.numbers(perm)], [m.tensor(np.array([2, 3, 4, 5])[perm], x, q)], "Transpose", 4)
        a, indices = m.input([4, 5, 3], x, q), m.numbers(rng.integers(0, 3, 6))
        return m.operator("GATHER", [a, indices], [m.tensor([1], x, q)], "Gather", 4, axis=int(rng.integers(0, 3)))

    return build


def lstm(rng: Rng) -> Model:
    m, (batch, steps, inputs, hidden) = Model(), ints(rng, 1, 7, 4)
    hidden, inputs, time_major, coupled = 3 * hidden, 3 * inputs, bool(rng.integers(2)), bool(rng.random() < 0.25)
    h_scale, h_zero = scale(rng, -2.3, -1.7), zero(rng, "int8")
    x = m.input([steps, batch, inputs] if time_major else [batch, steps, inputs], "int8", quant(scale(rng, -2.3, -1), zero(rng, "int8")))

    def gates(depth: int) -> list[int]:
        grids = [quant(scale(rng, -3, -1.7)) for _ in range(4)]
        return [
            -1 if coupled and k == 0 else m.tensor([hidden, depth], "int8", q, rng.integers(-127, 128, (hidden, depth)))
            for k, q in enumerate(grids)
        ]

    biases = [-1 if coupled and k == 0 else m.tensor([hidden], "int32", quant(1e-4), rng.integers(-9000, 9000, hidden)) for k in range(4)]
    state = m.tensor([batch, hidden], "int8", quant(h_scale, h_zero), variable=True)
    cell = m.tensor([batch, hidden], "int16", quant(2.0 ** -int(rng.integers(10, 14))), variable=True)
    tensors = [x, *gates(inputs), *gates(hidden), -1, -1, -1, *biases, -1, -1, state, cell, -1, -1, -1, -1]
    y = m.tensor([steps, batch, hidden] if time_major else [batch, steps, hidden], "int8", quant(h_scale, h_zero))
    middle = [*(m.tensor([1], "int16", quant(2.0**-12)) for _ in range(4)), m.tensor([1], "int8", quant(h_scale, h_zero))]
    fields = {"fusedActivationFunction": TANH, "timeMajor": time_major, "cellClip": float(rng.choice([0, 0, 1.5]))}
    return m.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", tensors, [y], "UnidirectionalSequenceLSTM", 1, middle, **fields)


def svdf(rng: Rng) -> Model:
    m, (batch, size, units, rank, steps) = Model(), ints(rng, 1, 7, 5)
    filters = units * rank
    x = m.input([batch, size], "int8", quant(scale(rng, -2.3, -1), zero(rng, "int8")))
    features = m.tensor([filters, size], "int8", quant(scale(rng, -3, -1.5)), rng.integers(-127, 128, (filters, size)))
    time = m.tensor([filters, steps], "int16", quant(scale(rng, -5, -4)), rng.integers(-32767, 32768, (filters, steps)))
    bias = m.tensor([units], "int32", quant(1e-6), rng.integers(-9000, 9000, units))
    state = m.tensor([batch, filters * steps], "int16", quant(scale(rng, -4, -3)), variable=True)
    y = m.tensor([batch, units], "int8", quant(scale(rng, -2.5, 0), zero(rng, "int8")))
    return m.operator("SVDF", [x, features, time, bias, state], [y], "SVDF", 3, rank=rank, fusedActivationFunction=RELU)


def _alpha(rng: Rng) -> float:
    return float(np.float32(rng.choice([0.1, 0.3, -0.5, 1.7, 0.01])))


STORED = ("uint8", "int8", "int16")
CASES: dict[str, Callable[[Rng], Model]] = {
    "CONV_2D uint8": conv("uint8", "uint8", "int32"),
    "CONV_2D int8": conv("int8", "int8", "int32"),
    "CONV_2D int8 int4": conv("int8", "int4", "int32"),
    "CONV_2D int16 int64": conv("int16", "int8", "int64"),
    "CONV_2D int16 int32": conv("int16", "int8", "int32", 2),
    "CONV_2D int16 int4": conv("int16", "int4", "int64"),
    "DEPTHWISE_CONV_2D uint8": depthwise("uint8", "uint8", "int32"),
    "DEPTHWISE_CONV_2D int8": depthwise("int8", "int8", "int32"),
    "DEPTHWISE_CONV_2D int8 int4": depthwise("int8", "int4", "int32"),
    "DEPTHWISE_CONV_2D int8 no bias": depthwise("int8", "int8", ""),
    "DEPTHWISE_CONV_2D int16": depthwise("int16", "int8", "int64"),
    "CONV_2D hybrid": hybrid_conv,
    "FULLY_CONNECTED hybrid": hybrid_fully_connected,
    "FULLY_CONNECTED uint8": fully_connected("uint8", "uint8", "int32"),
    "FULLY_CONNECTED int8": fully_connected("int8", "int8", "int32"),
    "FULLY_CONNECTED int8 no bias": fully_connected("int8", "int8", ""),
    "FULLY_CONNECTED int8 int4": fully_connected("int8", "int4", "int32"),
    "FULLY_CONNECTED int16 int64": fully_connected("int16", "int8", "int64"),
    "FULLY_CONNECTED int16 int32": fully_connected("int16", "int8", "int32", 2),
    "FULLY_CONNECTED int16 no bias": fully_connected("int16", "int8", ""),
    "TRANSPOSE_CONV uint8": transpose_conv("uint8", "uint8", "int32"),
    "TRANSPOSE_CONV int8": transpose_conv("int8", "int8", "int32"),
    "TRANSPOSE_CONV int16": transpose_conv("int16", "int8", "int64"),
    "TRANSPOSE_CONV int16 int32": transpose_conv("int16", "int8", "int32", 2),
    "BATCH_MATMUL int8": batch_matmul("int8"),
    "BATCH_MATMUL int16": batch_matmul("int16"),
    **{f"{n} {x}": pairs(n, x) for n in ("ADD", "SUB", "MUL") for x in STORED},
    "ADD int16 shifts": pairs("ADD", "int16", True),
    "SUB int16 shifts": pairs("SUB", "int16", True),
    **{f"{n} {x}": extremes(n, x) for n in ("MAXIMUM", "MINIMUM") for x in STORED},
    **{f"PRELU {x}": prelu(x) for x in STORED[:2]},
    **{f"{n} {x}": single(n, x, version=3 if x == "int16" else 2) for n in ("RELU", "RELU6") for x in STORED},
    "RELU_N1_TO_1 int8": single("RELU_N1_TO_1", "int8"),
    **{f"LEAKY_RELU {x}": single("LEAKY_RELU", x, "LeakyRelu", 2, alpha=_alpha) for x in STORED},
    **{f"HARD_SWISH {x}": single("HARD_SWISH", x, "HardSwish") for x in STORED[:2]},
    "ABS int8": single("ABS", "int8", version=2),
    **{f"{n} {x}": bounded(n, x) for n in ("LOGISTIC", "TANH") for x in STORED},
    **{f"SOFTMAX {x}": softmax(x, x) for x in STORED},
    "SOFTMAX int8 int16": softmax("int8", "int16"),
    **{f"MEAN {x}": mean(x) for x in STORED},
    **{f"QUANTIZE {x} {y}": requantize(x, y) for x in STORED for y in STORED if x == y or "int8" in (x, y)},
    **{f"QUANTIZE float32 {y}": requantize("float32", y) for y in STORED},
    "QUANTIZE int32 int16": requantize("int32", "int16"),
    **{f"DEQUANTIZE {x}": dequantize(x) for x in STORED},
    **{f"{n} {x}": pool(n, x) for n in ("AVERAGE_POOL_2D", "MAX_POOL_2D") for x in STORED},
    **{f"{n} {x}": resize(n, x) for n in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR") for x in STORED},
    **{f"CONCATENATION {x}": concatenation(x) for x in STORED},
    **{f"{n} {x}": pad(n, x) for n in ("PAD", "PADV2") for x in STORED},
    **{f"STRIDED_SLICE {x}": strided_slice(x) for x in STORED},
    **{f"{n} {x}": move(n, x) for n in ("SPLIT", "PACK", "TRANSPOSE", "GATHER") for x in STORED},
    "SVDF int8": svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM int8": lstm,
}
