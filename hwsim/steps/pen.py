"""The desk at which a Graph becomes a file's operators again: names, constants and nodes as ONNX writes them, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Constant, Graph, Node, SourceNode, SourceTensor, Tensor
from hwsim.ops._writing import OPSET, Given, Written, like
from hwsim.quant import Array
from hwsim.shelf import load

__all__ = ["HELD_AS", "Pen", "exact_reals"]

HELD_AS = {"bipolar": "int2", "ternary": "int2"}
QUANTIZED = (*(f"{kind}{b}" for kind in ("int", "uint") for b in range(1, 17)), "float4e2m1")
INFINITY = float("inf")


class Pen:
    """QDQ: a stored tensor keeps its name, QuantizeLinear makes it and DequantizeLinear gives its real numbers.

    Other forms differ in how a tensor is stored (`store`, `dequantized`), or have operators on stored numbers (`direct`).
    """

    bits: Iterable[str] = QUANTIZED
    direct: Mapping[str, Callable[[Any, Node], bool]] = {}

    def __init__(self, graph: Graph) -> None:
        self.graph, self.nodes, self.opset = graph, list[SourceNode](), max(OPSET, graph.source.opset)
        self.tensors: dict[str, SourceTensor] = {}
        self.real_names: dict[str, str] = {}
        self.alias: dict[str, str] = {}
        self.faults: list[HwsimError] = []
        self.taken = set(graph.tensors)

    def run(self) -> None:
        """Write every node; what this form cannot say is collected in `faults`."""
        for node in self.graph.nodes:
            try:
                self._node(node)
            except HwsimError as e:
                self.faults.append(e)
        for t in self.graph.outputs:
            constant = self.graph.tensors[t].constant
            if constant is not None:
                self.put(Written("Identity", (self.constant((constant.array, self.graph.tensors[t].format), f"{t}.value"),), {}, (t,)), t)

    def _node(self, node: Node) -> None:
        if node.op == "reinterpret":
            self._reinterpret(node)
        elif node.op == "quantize" and len(node.inputs) == 1:
            self.store(node, self.value(node.inputs[0]), str(node.attrs.get("rounding", "")))
        elif node.op == "dequantize" and len(node.inputs) == 1:
            self._dequantize(node)
        elif not self._direct(node):
            self.in_real_numbers(node)

    def _direct(self, node: Node) -> bool:
        return node.op in self.direct and self.direct[node.op](self, node)

    # Tensors ---------------------------------------------------------------------------------------------------------------------------

    def fresh(self, base: str) -> str:
        """A name that nothing has yet."""
        name, i = base, 1
        while name in self.taken:
            i += 1
            name = f"{base}.{i}"
        self.taken.add(name)
        return name

    def constant(self, given: Array | tuple[Array, str], base: str) -> str:
        """A new constant."""
        array, fmt = given if isinstance(given, tuple) else (given, given.dtype.name)
        name = self.fresh(base)
        self.tensors[name] = SourceTensor(name, fmt, array.shape, Constant.of(array, name))
        return name

    def number(self, name: str) -> str:
        """The name of a tensor that is no stored one: a constant, or what a node makes."""
        name = self.alias.get(name, name)
        t = self.graph.tensors.get(name)
        if t is not None and t.constant is not None and name not in self.tensors:
            self.tensors[name] = SourceTensor(name, HELD_AS.get(t.format, t.format), t.shape, t.constant)
        return name

    def value(self, name: str) -> str:
        """The name of a tensor's real (or plain) numbers, "" for an absent one."""
        t = self.graph.tensor(name)
        if t is None or t.quant is None:
            return self.number(name) if name else ""
        if name not in self.real_names:
            self.real_names[name] = self.dequantized(t, self.real_name(t))
        return self.real_names[name]

    def real_name(self, t: Tensor) -> str:
        """What the real numbers of a stored tensor are called: as the network itself does, if it has a name for them."""
        own = [n.outputs[0] for n in self.graph.consumers[t.name] if n.op == "dequantize" and len(n.inputs) == 1 and _is_float32(n)]
        return own[0] if own else self.fresh(f"{t.name}.real")

    def dequantized(self, t: Tensor, target: str) -> str:
        """The real numbers of a stored tensor, under the name `target`; of a 64-bit bias they are the constant itself."""
        assert t.quant is not None
        if t.constant is not None and t.quant.format.name == "int64":
            self._own(target, exact_reals(t), "float32")
            return target
        attrs = self.check_stored(t, wide=True)
        inputs = (self.number(t.name), *self.parameters(t))
        self.put(Written("DequantizeLinear", inputs, attrs, (target,)), f"{target}.dequantize")
        return target

    def store(self, node: Node, source: str, rounding: str = "") -> None:
        """Real numbers as the stored output of a node."""
        t = self.graph.tensors[node.outputs[0]]
        if rounding:
            raise HwsimError(node.where, "must round half to even to be a QuantizeLinear", rounding)
        self.quantize(node, t, source)

    def quantize(self, node: Node, t: Tensor, source: str) -> None:
        q = t.quant
        assert q is not None
        if q.format.name == "bipolar":
            raise HwsimError(node.where, "must not store signs alone to be a QuantizeLinear", "bipolar")
        attrs: dict[str, Any] = self.check_stored(t, where=node.where)
        if (q.format.is_integer and (q.qmin, q.qmax) != (q.format.low, q.format.high)) or q.format.name in HELD_AS:
            attrs["range"] = (int(q.qmin), int(q.qmax))
        self.put(Written("QuantizeLinear", (source, *self.parameters(t)), attrs, (t.name,)), f"{t.name}.quantize")

    def check_stored(self, t: Tensor, wide: bool = False, where: str = "") -> dict[str, Any]:
        """Axis and block of a stored tensor, whose format QuantizeLinear must have; DequantizeLinear has a `wide` one too."""
        q = t.quant
        assert q is not None
        fmt = HELD_AS.get(q.format.name, q.format.name)
        if fmt not in QUANTIZED and not fmt.startswith("float8") and not (wide and fmt == "int32"):
            raise HwsimError(where or f"tensor '{t.name}'", "must be of a type that ONNX quantizes", fmt)
        attrs = {} if q.axis is None else {"axis": q.axis}
        return {**attrs, "block_size": q.block_size} if q.block_size else attrs

    def parameters(self, t: Tensor) -> tuple[str, str]:
        """Scale and zero point as constants; a view of stored numbers has its own."""
        q = t.quant
        assert q is not None
        names = f"{t.name}.scale", f"{t.name}.zero_point"
        if names[0] not in self.tensors:
            fmt = HELD_AS.get(q.format.name, q.format.name)
            self._own(names[0], np.asarray(q.scale, np.float32), "float32")
            self._own(names[1], np.asarray(q.zero_point).astype(q.format.dtype), fmt)
        return names

    def _own(self, name: str, array: Array, fmt: str) -> None:
        self.taken.add(name)
        self.tensors[name] = SourceTensor(name, fmt, array.shape, Constant.of(array, name))

    # Nodes -----------------------------------------------------------------------------------------------------------------------------

    def _reinterpret(self, node: Node) -> None:
        """The same stored numbers under another name."""
        x, y = node.inputs[0], node.outputs[0]
        if y in self.graph.outputs:
            self.put(Written("Identity", (self.number(x),), {}, (y,)), node.name)
        else:
            self.alias[y] = self.alias.get(x, x)

    def _dequantize(self, node: Node) -> None:
        """The file's own step to real numbers, where these have not got their name already."""
        x, y = self.graph.tensors[node.inputs[0]], node.outputs[0]
        real = self.value(x.name)
        if not _is_float32(node):
            self.put(Written("Cast", (real,), {"to": node.attrs["format"]}, (y,)), node.name)
        elif y != real and y in self.graph.outputs:
            self.put(Written("Identity", (real,), {}, (y,)), node.name)
        elif y != real:
            self.alias[y] = real

    def in_real_numbers(self, node: Node) -> None:
        """Dequantize, the operator, its bound, quantize."""
        operands = [self.graph.tensor(t) for t in node.inputs]
        made = [self.graph.tensors[t] for t in node.outputs]
        clip = node.attrs.get("clip")
        outputs = [t.name if t.quant is None else self.fresh(f"{t.name}.computed") for t in made]
        first = self.fresh(f"{outputs[0]}.linear") if clip else outputs[0]
        named = replace(node, inputs=tuple(self.value(t) for t in node.inputs), outputs=(first, *outputs[1:]))
        self.put(load("ops", node.op).write(named, operands), node.name, named.outputs)
        if clip:
            self.put(bound(first, outputs[0], clip), f"{node.name}.clip")
        for t, source in zip(made, outputs, strict=True):
            if t.quant is not None:
                self.quantize(node, t, source)

    def put(self, written: Written | list[Written], name: str, outputs: tuple[str, ...] = ()) -> None:
        """Add operators, the last of which makes `outputs` where it does not say what it makes."""
        steps = written if isinstance(written, list) else [written]
        for i, w in enumerate(steps):
            last = i == len(steps) - 1
            label = name if last else f"{name}.{w.kind}"
            inputs = tuple(self._given(g, f"{(outputs or w.outputs)[0]}.{w.kind.rpartition('.')[2].lower()}") for g in w.inputs)
            while inputs and not inputs[-1]:
                inputs = inputs[:-1]
            self.opset = max(self.opset, w.since)
            self.nodes.append(SourceNode(w.kind, label, inputs, w.outputs or outputs, dict(w.attrs), self.opset))

    def _given(self, given: Given, base: str) -> str:
        return given if isinstance(given, str) else self.constant(given, base)


def exact_reals(t: Tensor) -> Array:
    """The real numbers of a stored constant, which must give back the stored ones exactly."""
    assert t.quant is not None and t.constant is not None
    q, stored = t.quant, t.constant.array
    real = q.dequantize(stored)
    back = np.rint(real.astype(np.float64) / q.spread(q.scale, stored.shape)) + q.spread(q.zero_point, stored.shape)
    if not np.array_equal(back, stored):
        raise HwsimError(f"tensor '{t.name}'", "must be exact in float32", f"numbers of {q.bits} bits up to {np.abs(stored).max()}")
    return real


def bound(x: str, y: str, clip: tuple[float, float]) -> Written:
    """An activation that bounds real numbers."""
    if clip == (0, INFINITY):
        return Written("Relu", (x,), {}, (y,))
    return Written("Clip", (x, *(like(v, None) if np.isfinite(v) else "" for v in clip)), {}, (y,))


def _is_float32(node: Node) -> bool:
    return str(node.attrs["format"]) == "float32"
