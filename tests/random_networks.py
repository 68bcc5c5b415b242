"""Random quantized networks in ONNX's QOperator form, to be run by ONNX Runtime and by hwsim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from hwsim.io.onnx_definitions import TYPES
from hwsim.quant import Array

MICROSOFT = "com.microsoft"
DOMAIN = {
    "QLinearAdd",
    "QLinearMul",
    "QLinearConcat",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearSoftmax",
    "QGemm",
}


@dataclass(frozen=True)
class Stored:
    """A stored tensor of the network under construction."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: int


class RandomNetwork:
    """Grows a network of one 8-bit type, operator by operator; every tensor stays available as an operand."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = np.uint8 if self.rng.random() < 0.5 else np.int8
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.tensors: list[Stored] = []
        self.kinds: set[str] = set()

    def build(self, length: int) -> tuple[Any, dict[str, Array]]:
        """A model whose every operator was drawn at random, and its inputs."""
        shape = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 7)), int(self.rng.integers(4, 11)), int(self.rng.integers(4, 11)))
        first = Stored("input", shape, *self.grid())
        self.tensors.append(first)
        choices = [
            self.conv,
            self.add,
            self.mul,
            self.concat,
            self.average,
            self.overall_average,
            self.sigmoid,
            self.leaky,
            self.softmax,
            self.max_pool,
            self.gemm,
            self.matmul,
            self.transpose,
            self.slice,
            self.pad,
            self.reshape,
            self.requantize,
            self.conv_integer,
        ]
        while len(self.nodes) < length:
            self.rng.choice(np.array(choices, dtype=object))()
        info = np.iinfo(self.dtype)
        feed = self.rng.integers(info.min, info.max + 1, shape).astype(self.dtype)
        values = [helper.make_tensor_value_info("input", TYPES[np.dtype(self.dtype).name], shape)]
        kinds = {"DequantizeLinear": "float32", "ConvInteger": "int32"}
        outputs = [
            helper.make_tensor_value_info(n.output[0], TYPES[kinds.get(n.op_type, np.dtype(self.dtype).name)], None) for n in self.nodes
        ]
        graph = helper.make_graph(self.nodes, "random", values, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid(MICROSOFT, 1)])
        model.ir_version = 10
        return model, {"input": feed}

    def grid(self) -> tuple[float, int]:
        info = np.iinfo(self.dtype)
        scale = float(np.float32(2.0 ** self.rng.uniform(-9, -2)))
        return scale, int(self.rng.choice([0, info.min, info.max, self.rng.integers(info.min, info.max + 1)]))

    def pick(self, rank: int | None = None) -> Stored | None:
        fitting = [t for t in self.tensors if (rank is None or len(t.shape) == rank) and np.prod(t.shape) <= 5000]
        return fitting[int(self.rng.integers(len(fitting)))] if fitting else None

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def quant(self, t: Stored) -> list[str]:
        return [self.constant(np.float32(t.scale)), self.constant(np.array(t.zero, self.dtype))]

    def emit(self, kind: str, inputs: list[str], shape: tuple[int, ...], scale: float, zero: int, **attrs: Any) -> Stored:
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [name], f"n{len(self.nodes)}", domain=MICROSOFT if kind in DOMAIN else "", **attrs)
        )
        self.kinds.add(kind)
        found = Stored(name, tuple(int(d) for d in shape), scale, zero)
        self.tensors.append(found)
        return found

    def weights(self, shape: tuple[int, ...], channels: int, zero_points: bool) -> tuple[str, str, str, Array]:
        """Stored weights with scales per channel or one, and zero points now and then."""
        per_channel = self.rng.random() < 0.5
        dtype = np.uint8 if self.dtype is np.uint8 and self.rng.random() < 0.3 else np.int8
        info = np.iinfo(dtype)
        w = self.rng.integers(info.min, info.max + 1, shape).astype(dtype)
        scale = (2.0 ** self.rng.uniform(-9, -4, channels if per_channel else ())).astype(np.float32)
        zero = np.full(scale.shape, self.rng.integers(info.min, info.max + 1) if zero_points and self.rng.random() < 0.5 else 0, dtype)
        return self.constant(w), self.constant(scale), self.constant(zero), scale

    def window(self, t: Stored, largest: int = 3) -> tuple[dict[str, Any], tuple[int, int]]:
        rng, size = self.rng, t.shape[2:]
        kernel = [int(rng.integers(1, min(largest, s) + 1)) for s in size]
        strides = [int(rng.integers(1, 3)) for _ in size]
        pads = [int(rng.integers(0, k)) for k in (*kernel, *kernel)]
        out = tuple((s + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, s in enumerate(size))
        return {"kernel_shape": kernel, "strides": strides, "pads": pads}, (out[0], out[1])

    def conv(self) -> None:
        t = self.pick(4)
        if t is None:
            return
        group = int(self.rng.choice([1, 1, t.shape[1]]))
        outputs = group * int(self.rng.integers(1, 5))
        attrs, out = self.window(t)
        w, ws, wz, scale = self.weights((outputs, t.shape[1] // group, *attrs["kernel_shape"]), outputs, False)
        y_scale, y_zero = self.grid()
        bias = [self.constant(self.rng.integers(-20000, 20000, outputs).astype(np.int32))] if self.rng.random() < 0.7 else []
        y = Stored("", (), y_scale * float(scale.max()) * 256, y_zero)
        self.emit(
            "QLinearConv",
            [t.name, *self.quant(t), w, ws, wz, *self.quant(y), *bias],
            (t.shape[0], outputs, *out),
            y.scale,
            y.zero,
            group=group,
            **attrs,
        )

    def conv_integer(self) -> None:
        """The accumulator itself; nothing reads it further."""
        t = self.pick(4)
        if t is None or self.dtype is np.int8:
            return
        attrs, out = self.window(t)
        w = self.constant(self.rng.integers(0, 256, (3, t.shape[1], *attrs["kernel_shape"])).astype(np.uint8))
        zeros = [self.constant(np.array(t.zero, np.uint8)), self.constant(np.array(self.rng.integers(256), np.uint8))]
        self.emit("ConvInteger", [t.name, w, *zeros], (t.shape[0], 3, *out), 1.0, 0, **attrs)
        self.tensors.pop()

    def pair(self) -> tuple[Stored, Stored]:
        a = self.pick()
        assert a is not None
        same = [t for t in self.tensors if t.shape == a.shape]
        return a, same[int(self.rng.integers(len(same)))]

    def add(self) -> None:
        self.binary("QLinearAdd")

    def mul(self) -> None:
        self.binary("QLinearMul")

    def binary(self, kind: str) -> None:
        """Two tensors of one shape, or one and a broadcast constant."""
        a, b = self.pair()
        scale, zero = self.grid()
        scale = scale if kind == "QLinearMul" else max(a.scale, b.scale) * float(self.rng.uniform(0.7, 2))
        y = Stored("", (), float(np.float32(scale)), zero)
        if self.rng.random() < 0.3:
            info = np.iinfo(self.dtype)
            shape = tuple(int(d) if self.rng.random() < 0.5 else 1 for d in a.shape)
            c = Stored(self.constant(self.rng.integers(info.min, info.max + 1, shape).astype(self.dtype)), shape, *self.grid())
            sides = [a, c] if self.rng.random() < 0.5 else [c, a]
        else:
            sides = [a, b]
        inputs = [n for s in sides for n in (s.name, *self.quant(s))]
        self.emit(kind, [*inputs, *self.quant(y)], a.shape, y.scale, y.zero)

    def concat(self) -> None:
        a, b = self.pair()
        axis = int(self.rng.integers(len(a.shape)))
        y = Stored("", (), *self.grid()) if self.rng.random() < 0.7 else Stored("", (), a.scale, a.zero)
        shape = [2 * d if i == axis else d for i, d in enumerate(a.shape)]
        self.emit(
            "QLinearConcat", [*self.quant(y), a.name, *self.quant(a), b.name, *self.quant(b)], tuple(shape), y.scale, y.zero, axis=axis
        )

    def average(self) -> None:
        t = self.pick(4)
        if t is None:
            return
        attrs, out = self.window(t)
        y = Stored("", (), *self.grid())
        self.emit(
            "QLinearAveragePool",
            [t.name, *self.quant(t), *self.quant(y)],
            (*t.shape[:2], *out),
            y.scale,
            y.zero,
            count_include_pad=int(self.rng.integers(2)),
            **attrs,
        )

    def overall_average(self) -> None:
        t = self.pick(4)
        if t is None:
            return
        y = Stored("", (), *self.grid())
        last = int(self.rng.integers(2))
        shape = (t.shape[0], 1, 1, t.shape[3]) if last else (*t.shape[:2], 1, 1)
        self.emit("QLinearGlobalAveragePool", [t.name, *self.quant(t), *self.quant(y)], shape, y.scale, y.zero, channels_last=last)

    def unary(self, kind: str, **attrs: Any) -> None:
        t = self.pick()
        assert t is not None
        y = Stored("", (), *self.grid())
        self.emit(kind, [t.name, *self.quant(t), *self.quant(y)], t.shape, y.scale, y.zero, **attrs)

    def sigmoid(self) -> None:
        self.unary("QLinearSigmoid")

    def leaky(self) -> None:
        self.unary("QLinearLeakyRelu", alpha=float(self.rng.choice([0.01, 0.1, 0.25, -0.5])))

    def softmax(self) -> None:
        t = self.pick()
        assert t is not None
        y = Stored("", (), 1 / 256, int(np.iinfo(self.dtype).min))
        self.emit("QLinearSoftmax", [t.name, *self.quant(t), *self.quant(y)], t.shape, y.scale, y.zero, axis=len(t.shape) - 1, opset=13)

    def max_pool(self) -> None:
        t = self.pick(4)
        if t is None:
            return
        attrs, out = self.window(t)
        self.emit("MaxPool", [t.name], (*t.shape[:2], *out), t.scale, t.zero, **attrs)

    def gemm(self) -> None:
        t = self.pick(2)
        if t is None:
            return
        outputs, turned = int(self.rng.integers(1, 9)), int(self.rng.integers(2))
        w, ws, wz, scale = self.weights((outputs, t.shape[1]) if turned else (t.shape[1], outputs), outputs, True)
        y = Stored("", (), float(np.float32(t.scale * scale.max() * 64)), self.grid()[1])
        bias = self.constant(self.rng.integers(-9000, 9000, outputs).astype(np.int32))
        self.emit(
            "QGemm",
            [t.name, *self.quant(t), w, ws, wz, bias, *self.quant(y)],
            (t.shape[0], outputs),
            y.scale,
            y.zero,
            transB=turned,
            alpha=float(self.rng.choice([1.0, 0.75])),
        )

    def matmul(self) -> None:
        t = self.pick()
        if t is None or len(t.shape) < 2:
            return
        outputs = int(self.rng.integers(1, 9))
        w, ws, wz, scale = self.weights((t.shape[-1], outputs), outputs, True)
        y = Stored("", (), float(np.float32(t.scale * scale.max() * 64)), self.grid()[1])
        self.emit("QLinearMatMul", [t.name, *self.quant(t), w, ws, wz, *self.quant(y)], (*t.shape[:-1], outputs), y.scale, y.zero)

    def transpose(self) -> None:
        t = self.pick()
        assert t is not None
        perm = [int(p) for p in self.rng.permutation(len(t.shape))]
        self.emit("Transpose", [t.name], tuple(t.shape[p] for p in perm), t.scale, t.zero, perm=perm)

    def slice(self) -> None:
        t = self.pick()
        if t is None or max(t.shape) < 3:
            return
        axis = int(np.argmax(t.shape))
        step = int(self.rng.choice([1, 2, -1]))
        start, end = (0, t.shape[axis] - 1) if step > 0 else (t.shape[axis] - 1, 0)
        size = len(range(start, end, step))
        inputs = [self.constant(np.array([v], np.int64)) for v in (start, end, axis, step)]
        self.emit("Slice", [t.name, *inputs], tuple(size if i == axis else d for i, d in enumerate(t.shape)), t.scale, t.zero)

    def pad(self) -> None:
        t = self.pick(4)
        if t is None:
            return
        widths = [0, 0, *self.rng.integers(0, 3, 2), 0, 0, *self.rng.integers(0, 3, 2)]
        shape = tuple(int(d + widths[i] + widths[i + 4]) for i, d in enumerate(t.shape))
        inputs = [self.constant(np.array(widths, np.int64)), self.constant(np.array(t.zero, self.dtype))]
        self.emit("Pad", [t.name, *inputs], shape, t.scale, t.zero)

    def reshape(self) -> None:
        t = self.pick()
        if t is None or len(t.shape) < 3:
            return
        self.emit("Flatten", [t.name], (t.shape[0], int(np.prod(t.shape[1:]))), t.scale, t.zero)

    def requantize(self) -> None:
        """DequantizeLinear and QuantizeLinear between two grids."""
        t = self.pick()
        assert t is not None
        y = Stored("", (), *self.grid())
        real = self.emit("DequantizeLinear", [t.name, *self.quant(t)], t.shape, 1.0, 0)
        self.tensors.pop()
        self.emit("QuantizeLinear", [real.name, *self.quant(y)], t.shape, y.scale, y.zero)
