"""The layer vocabulary that topologies are written in; it makes ONNX operators of opset 21 with lazily drawn random weights."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array

__all__ = ["OPSET", "Net"]

OPSET = 21
Pair = int | tuple[int, int]
Pad = Pair | str | None


class Net:
    """A network under construction.  Every method adds a layer behind tensor `x` and returns the name of its output.

    `epsilon` is that of batch normalization; a family sets it where its reference code differs.  `power` is the mean square of
    each tensor's numbers as far as it can be told without computing them; it makes the statistics of batch normalization.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name, self.seed = name, seed
        self.nodes: list[SourceNode] = []
        self.tensors: dict[str, SourceTensor] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.power: dict[str, float] = {}
        self.inputs: list[str] = []
        self.count = 0
        self.epsilon = 1e-5
        self.digest = hashlib.sha256(f"{name} {seed}".encode())

    def input(self, name: str, shape: Sequence[int], fmt: str = "float32") -> str:
        """A network input; its first dimension becomes the symbolic batch N."""
        self.tensors[name] = SourceTensor(name, fmt, ("N", *shape[1:]))
        self.shapes[name] = tuple(shape)
        self.inputs.append(name)
        return name

    def weight(self, name: str, shape: Sequence[int], deviation: float, mean: float = 0.0) -> str:
        """A constant of normal random numbers, drawn when first needed; the seed and the name decide them."""
        self.tensors[name] = SourceTensor(name, "float32", tuple(shape), Constant(lambda: self._draw(name, shape, deviation, mean), name))
        self.shapes[name] = tuple(shape)
        self.digest.update(repr((name, tuple(shape), deviation, mean)).encode())
        return name

    def _draw(self, name: str, shape: Sequence[int], deviation: float, mean: float) -> Array:
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return (mean + deviation * rng.standard_normal(tuple(shape), np.float32)).astype(np.float32)

    def constant(self, name: str, array: Any) -> str:
        """A constant with given numbers."""
        held = np.asarray(array)
        self.tensors[name] = SourceTensor(name, held.dtype.name, held.shape, Constant.of(held, name))
        self.shapes[name] = held.shape
        self.digest.update(repr((name, held.shape, held.dtype.name)).encode() + held.tobytes())
        return name

    def node(self, kind: str, inputs: Sequence[str], shape: Sequence[int], name: str = "", **attrs: Any) -> str:
        """Any operator with one output of the given shape."""
        self.count += 1
        name = name or f"{kind.rpartition('.')[2].lower()}{self.count}"
        output = f"{name}.out"
        self.nodes.append(SourceNode(kind, name, tuple(inputs), (output,), attrs, OPSET))
        self.shapes[output] = tuple(shape)
        self.power[output] = self.power.get(inputs[0], 1.0)
        return output

    def _with_power(self, x: str, power: float) -> str:
        self.power[x] = power
        return x

    def conv(
        self,
        x: str,
        channels: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        pad: Pad = None,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        name: str = "",
    ) -> str:
        """A 2-D convolution; `pad` defaults to the half of the kernel that keeps the size at stride 1, `same` is TensorFlow's padding."""
        self.count += 1
        name = name or f"conv{self.count}"
        n, c, h, w = self.shapes[x]
        k, s = _pair(kernel), _pair(stride)
        before, after = _pads((h, w), k, s, pad, dilation)
        fan_in = c // groups * prod(k)
        inputs = [x, self.weight(f"{name}.weight", (channels, c // groups, *k), sqrt(2 / fan_in))]
        if bias:
            inputs.append(self.weight(f"{name}.bias", (channels,), 0.1))
        size = [(v + b + a - dilation * (m - 1) - 1) // t + 1 for v, b, a, m, t in zip((h, w), before, after, k, s, strict=True)]
        y = self.node(
            "Conv",
            inputs,
            (n, channels, *size),
            name,
            kernel_shape=list(k),
            strides=list(s),
            pads=[*before, *after],
            dilations=[dilation, dilation],
            group=groups,
        )
        return self._with_power(y, 2 * self.power[y])

    def conv_transpose(self, x: str, channels: int, kernel: int, stride: int, bias: bool = True) -> str:
        """A transposed convolution without padding: the size grows by the stride when kernel = stride."""
        self.count += 1
        name = f"upconv{self.count}"
        n, c, h, w = self.shapes[x]
        inputs = [x, self.weight(f"{name}.weight", (c, channels, kernel, kernel), sqrt(2 / c))]
        if bias:
            inputs.append(self.weight(f"{name}.bias", (channels,), 0.1))
        return self.node(
            "ConvTranspose",
            inputs,
            (n, channels, (h - 1) * stride + kernel, (w - 1) * stride + kernel),
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
        )

    def batch_norm(self, x: str) -> str:
        """Batch normalization whose statistics match those of the numbers that come in."""
        self.count += 1
        name, c = f"bn{self.count}", self.shapes[x][1]
        parts = [self.weight(f"{name}.{p}", (c,), d, m) for p, d, m in (("scale", 0.1, 1.0), ("shift", 0.1, 0.0), ("mean", 0.1, 0.0))]
        variance = self.constant(f"{name}.variance", np.full(c, self.power.get(x, 1.0), np.float32))
        return self._with_power(self.node("BatchNormalization", [x, *parts, variance], self.shapes[x], name, epsilon=self.epsilon), 1.0)

    def conv_bn(
        self,
        x: str,
        channels: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        pad: Pad = None,
        groups: int = 1,
        dilation: int = 1,
        act: str | None = "Relu",
        bias: bool = False,
    ) -> str:
        """Convolution, batch normalization, and an activation (an operator without attributes, `Relu6`, `Silu`, or None)."""
        return self.act(self.batch_norm(self.conv(x, channels, kernel, stride, pad, groups, dilation, bias)), act)

    def act(self, x: str, kind: str | None, **attrs: Any) -> str:
        """An elementwise operator; `Relu6` is Clip(0, 6), `Silu` is x sigmoid(x), `HardSigmoid` has PyTorch's slope 1/6."""
        if kind is None:
            return x
        if kind == "Relu6":
            bounds = [self.constant("clip.low", np.float32(0)), self.constant("clip.high", np.float32(6))]
            y = self.node("Clip", [x, *bounds], self.shapes[x])
        elif kind == "Silu":
            y = self.mul(x, self.act(x, "Sigmoid"))
        else:
            attrs = {"alpha": 1 / 6, "beta": 0.5, **attrs} if kind == "HardSigmoid" else attrs
            y = self.node(kind, [x], self.shapes[x], **attrs)
        return self._with_power(y, self.power.get(x, 1.0) * (0.35 if kind in ("Silu", "HardSwish") else 0.5))

    def relu(self, x: str) -> str:
        return self.act(x, "Relu")

    def linear(self, x: str, features: int, bias: bool = True, name: str = "") -> str:
        """A fully-connected layer over the last axis: Gemm on matrices, MatMul and Add on longer tensors."""
        self.count += 1
        name, shape = name or f"fc{self.count}", self.shapes[x]
        if len(shape) == 2:
            inputs = [x, self.weight(f"{name}.weight", (features, shape[1]), sqrt(1 / shape[1]))]
            if bias:
                inputs.append(self.weight(f"{name}.bias", (features,), 0.1))
            return self.node("Gemm", inputs, (shape[0], features), name, transB=1)
        weight = self.weight(f"{name}.weight", (shape[-1], features), sqrt(1 / shape[-1]))
        y = self.node("MatMul", [x, weight], (*shape[:-1], features), name)
        return self.node("Add", [y, self.weight(f"{name}.bias", (features,), 0.1)], self.shapes[y], f"{name}.add") if bias else y

    def matmul(self, a: str, b: str) -> str:
        """The product of the last two axes of two computed tensors."""
        left, right = self.shapes[a], self.shapes[b]
        return self.node("MatMul", [a, b], (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1]))

    def _pool(self, kind: str, x: str, kernel: Pair, stride: Pair, pad: Pair, ceil: bool, **attrs: Any) -> str:
        n, c, h, w = self.shapes[x]
        k, s, p = _pair(kernel), _pair(stride), _pair(pad)
        size = []
        for v, m, t, q in zip((h, w), k, s, p, strict=True):
            out = -(-(v + 2 * q - m) // t) + 1 if ceil else (v + 2 * q - m) // t + 1
            size.append(out - 1 if ceil and (out - 1) * t >= v + q else out)
        return self.node(kind, [x], (n, c, *size), kernel_shape=list(k), strides=list(s), pads=[*p, *p], ceil_mode=int(ceil), **attrs)

    def max_pool(self, x: str, kernel: Pair, stride: Pair, pad: Pair = 0, ceil: bool = False) -> str:
        return self._pool("MaxPool", x, kernel, stride, pad, ceil)

    def avg_pool(self, x: str, kernel: Pair, stride: Pair, pad: Pair = 0, count_pad: bool = True) -> str:
        return self._pool("AveragePool", x, kernel, stride, pad, False, count_include_pad=int(count_pad))

    def global_pool(self, x: str) -> str:
        """Mean over all positions, kept as N C 1 1."""
        return self.node("GlobalAveragePool", [x], (*self.shapes[x][:2], 1, 1))

    def flatten(self, x: str) -> str:
        return self.node("Flatten", [x], (self.shapes[x][0], prod(self.shapes[x][1:])))

    def classify(self, x: str, classes: int = 1000) -> str:
        """The usual head: mean over all positions, then a fully-connected layer."""
        return self.linear(self.flatten(self.global_pool(x)), classes)

    def _binary(self, kind: str, a: str, b: str) -> str:
        return self.node(kind, [a, b], np.broadcast_shapes(self.shapes[a], self.shapes[b]))

    def add(self, a: str, b: str) -> str:
        return self._with_power(self._binary("Add", a, b), self.power.get(a, 1.0) + self.power.get(b, 0.0))

    def mul(self, a: str, b: str) -> str:
        """The product; as for `power`, the second factor is taken to be near a half, as gates are."""
        return self._with_power(self._binary("Mul", a, b), self.power.get(a, 1.0) / 4)

    def scale(self, x: str, factor: float) -> str:
        """Every number times a constant."""
        return self.mul(x, self.constant(f"mul{self.count}.factor", np.float32(factor)))

    def concat(self, xs: Sequence[str], axis: int = 1) -> str:
        shape = list(self.shapes[xs[0]])
        shape[axis] = sum(self.shapes[x][axis] for x in xs)
        return self.node("Concat", xs, shape, axis=axis)

    def split(self, x: str, parts: int, axis: int = 1) -> list[str]:
        """Equal parts along an axis."""
        self.count += 1
        shape = list(self.shapes[x])
        shape[axis] //= parts
        names = [f"split{self.count}.out{i}" for i in range(parts)]
        self.nodes.append(SourceNode("Split", f"split{self.count}", (x,), tuple(names), {"axis": axis, "num_outputs": parts}, OPSET))
        self.shapes.update(dict.fromkeys(names, tuple(shape)))
        self.power.update(dict.fromkeys(names, self.power.get(x, 1.0)))
        return names

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        """The entries from `start` up to `end` of an axis."""
        box = [self.constant(f"slice{self.count}.{k}", np.array([v])) for k, v in (("start", start), ("end", end), ("axis", axis))]
        shape = list(self.shapes[x])
        shape[axis] = end - start
        return self.node("Slice", [x, *box], shape)

    def roll(self, x: str, shift: int, axis: int) -> str:
        """Entries moved `shift` places up an axis; what leaves at its end comes in at its start."""
        size = self.shapes[x][axis]
        cut = -shift % size
        return self.concat([self.slice(x, cut, size, axis), self.slice(x, 0, cut, axis)], axis)

    def gather(self, table: str, indices: str, axis: int = 0) -> str:
        """The entries of an axis that integer indices choose."""
        shape = self.shapes[table]
        return self.node("Gather", [table, indices], (*shape[:axis], *self.shapes[indices], *shape[axis + 1 :]), axis=axis)

    def for_each_image(self, constant: str, x: str) -> str:
        """A constant whose first dimension is 1, repeated for every image in the batch of `x`."""
        shape = self.shapes[constant][1:]
        batch = self.node("Shape", [x], (1,), start=0, end=1)
        rest = self.constant(f"shape{self.count}", np.array(shape, np.int64))
        return self.node("Expand", [constant, self.concat([batch, rest], 0)], (self.shapes[x][0], *shape))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Another shape; the first dimension, the batch, is kept."""
        full = (self.shapes[x][0], *shape[1:])
        known = prod(d for d in full if d != -1)
        full = tuple(prod(self.shapes[x]) // known if d == -1 else d for d in full)
        wanted = self.constant(f"shape{self.count}", np.array([0, *full[1:]], np.int64))
        return self.node("Reshape", [x, wanted], full)

    def transpose(self, x: str, perm: Sequence[int]) -> str:
        return self.node("Transpose", [x], [self.shapes[x][p] for p in perm], perm=list(perm))

    def softmax(self, x: str, axis: int = -1) -> str:
        return self.node("Softmax", [x], self.shapes[x], axis=axis)

    def layer_norm(self, x: str, epsilon: float = 1e-5) -> str:
        """Over the last axis, with scale and shift."""
        self.count += 1
        name, n = f"ln{self.count}", self.shapes[x][-1]
        parts = [self.weight(f"{name}.scale", (n,), 0.1, 1.0), self.weight(f"{name}.shift", (n,), 0.1)]
        return self._with_power(self.node("LayerNormalization", [x, *parts], self.shapes[x], name, axis=-1, epsilon=epsilon), 1.0)

    def gelu(self, x: str) -> str:
        return self.act(x, "Gelu")

    def resize(self, x: str, size: Sequence[int], mode: str = "linear") -> str:
        """Spatial size changed to `size`, by half-pixel coordinates."""
        wanted = self.constant(f"size{self.count}", np.array(size, np.int64))
        return self.node(
            "Resize",
            [x, "", "", wanted],
            (*self.shapes[x][:2], *size),
            mode=mode,
            axes=[2, 3],
            **({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}),
        )

    def finish(self, output: str) -> SourceGraph:
        """The complete network."""
        shape = self.shapes[output]
        self.tensors[output] = SourceTensor(output, "float32", ("N", *shape[1:]))
        self.digest.update(repr([(n.kind, n.inputs, n.outputs, sorted(n.attrs.items())) for n in self.nodes]).encode())
        self.digest.update(repr([(t, self.tensors[t].format, self.tensors[t].shape) for t in (*self.inputs, output)]).encode())
        sha256 = self.digest.hexdigest()
        return SourceGraph(self.name, tuple(self.nodes), self.tensors, tuple(self.inputs), (output,), sha256, "onnxruntime", OPSET)


def _pair(value: Pair) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _pads(size: Pair, kernel: tuple[int, int], stride: tuple[int, int], pad: Pad, dilation: int) -> tuple[list[int], list[int]]:
    """Cells before and behind each axis.  `same` gives size / stride outputs, rounded up; an odd cell goes behind."""
    if pad == "same":
        total = [max((-(-v // t) - 1) * t + (m - 1) * dilation + 1 - v, 0) for v, m, t in zip(_pair(size), kernel, stride, strict=True)]
        return [t // 2 for t in total], [t - t // 2 for t in total]
    assert not isinstance(pad, str), pad
    half = [(m - 1) // 2 * dilation for m in kernel] if pad is None else list(_pair(pad))
    return half, half
