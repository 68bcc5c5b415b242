"""Integer widths that ONNX has no type for, carried as QCDQ does: an 8- or 16-bit type and a Clip to the narrower range.

Quantize, clip, dequantize: Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022, section IV.
Rounding into the wide type and clipping is rounding into the narrow one, so `narrow` and `widen` change no number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim import formats
from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array, Format

__all__ = ["narrow", "widen"]

CONTAINERS = ("int8", "uint8", "int16", "uint16", "int32")
PLAIN = (2, 4, 8, 16, 32, 64)


def narrow(source: SourceGraph) -> SourceGraph:
    """The network with the widths that its clips mean: no Clip between QuantizeLinear, or a stored constant, and its readers."""
    if not any(n.kind == "Clip" for n in source.nodes):
        return source
    return _Narrower(source).run()


class _Narrower:
    def __init__(self, source: SourceGraph) -> None:
        self.source, self.tensors, self.nodes = source, dict(source.tensors), list(source.nodes)
        self.maker = {t: i for i, n in enumerate(source.nodes) for t in n.outputs}
        self.formats: dict[str, str] = {}

    def run(self) -> SourceGraph:
        dropped = {i for i, n in enumerate(self.source.nodes) if n.kind == "Clip" and self._absorb(n)}
        kept = [self._retyped(n) for i, n in enumerate(self.nodes) if i not in dropped]
        return replace(self.source, nodes=tuple(kept), tensors=self.tensors)

    def _absorb(self, clip: SourceNode) -> bool:
        """Give what the node clips the narrower format under the clipped name."""
        x, y, bounds = clip.inputs[0], clip.outputs[0], self._bounds(clip)
        if bounds is None:
            return False
        constant = self._array(x)
        if constant is not None:
            held = self.tensors[x].format if x in self.tensors else ""
            fmt = _format_of(held, bounds)
            if fmt is None:
                return False
            array = np.clip(constant, *bounds).astype(fmt.dtype)
            self.tensors[y] = SourceTensor(y, fmt.name, array.shape, Constant.of(array, y))
            self.formats[y] = fmt.name
            return True
        return self._absorb_quantizer(clip, bounds)

    def _absorb_quantizer(self, clip: SourceNode, bounds: tuple[int, int]) -> bool:
        x, y = clip.inputs[0], clip.outputs[0]
        readers = sum(n.inputs.count(x) for n in self.source.nodes)
        maker = self.nodes[self.maker[x]] if x in self.maker else None
        if (
            maker is None
            or maker.kind != "QuantizeLinear"
            or readers != 1
            or x in self.source.outputs
            or self._array(maker.inputs[1]) is None
        ):
            return False
        zero = maker.inputs[2] if len(maker.inputs) > 2 else ""
        held = self.tensors[zero].format if zero in self.tensors else str(maker.attrs.get("output_dtype", "uint8"))
        fmt, offset = _format_of(held, bounds), self._array(zero) if zero else np.zeros((), np.int64)
        if fmt is None or offset is None or (offset < bounds[0]).any() or (offset > bounds[1]).any():
            return False
        inputs = (*maker.inputs[:2], self._zero_point(zero, fmt.name)) if zero else maker.inputs
        attrs = {**maker.attrs, "output_dtype": fmt.name, **({"range": bounds} if bounds != (fmt.low, fmt.high) else {})}
        self.nodes[self.maker[x]] = replace(maker, inputs=inputs, outputs=(y,), attrs=attrs)
        self.formats[y] = fmt.name
        return True

    def _retyped(self, node: SourceNode) -> SourceNode:
        """A DequantizeLinear whose zero point has the format of what it reads."""
        fmt = self.formats.get(node.inputs[0]) if node.inputs else None
        if node.kind != "DequantizeLinear" or fmt is None or len(node.inputs) < 3 or self._array(node.inputs[2]) is None:
            return node
        return replace(node, inputs=(*node.inputs[:2], self._zero_point(node.inputs[2], fmt)))

    def _zero_point(self, name: str, fmt: str) -> str:
        """A zero point in another format, made once."""
        own, array = f"{name}.{fmt}", self._array(name)
        assert array is not None, "a zero point of a narrowed tensor is constant"
        self.tensors[own] = SourceTensor(own, fmt, array.shape, Constant.of(array.astype(formats.get(fmt).dtype), own))
        return own

    def _bounds(self, clip: SourceNode) -> tuple[int, int] | None:
        """The constant integers between which a node clips."""
        found = [self._array(t) if t else None for t in clip.inputs[1:3]]
        if len(found) != 2 or any(a is None or a.size != 1 or a.dtype.kind not in "iu" for a in found):
            return None
        low, high = (int(a.reshape(-1)[0]) for a in found if a is not None)
        return (low, high) if low < high else None

    def _array(self, name: str) -> Array | None:
        tensor = self.tensors.get(name)
        if tensor is not None and tensor.constant is not None:
            return tensor.constant.array
        node = self.nodes[self.maker[name]] if name in self.maker else None
        value = node.attrs.get("constant") if node is not None and node.kind == "Constant" else None
        return value[0] if isinstance(value, tuple) else None


def _format_of(container: str, bounds: tuple[int, int]) -> Format | None:
    """The narrowest integer format of a container's signedness that holds the bounds."""
    if container not in CONTAINERS:
        return None
    kind, bits = container.rstrip("0123456789"), int(container.lstrip("uint"))
    fitting = (formats.get(f"{kind}{b}") for b in range(1 if kind == "uint" else 2, bits + 1))
    return next((f for f in fitting if f.low <= bounds[0] and bounds[1] <= f.high), None)


def _container(fmt: str) -> str | None:
    """The ONNX type in which an integer format without one is carried; None for formats that have one, and for other kinds."""
    kind, bits = fmt.rstrip("0123456789"), fmt.lstrip("uint")
    if kind not in ("int", "uint") or int(bits) in PLAIN or int(bits) > 16:
        return None
    return f"{kind}{8 if int(bits) < 8 else 16}"


def widen(source: SourceGraph) -> SourceGraph:
    """The network in ONNX's own types, with a Clip for every narrower width."""
    odd = {k: c for k, t in source.tensors.items() if (c := _container(t.format)) is not None} | _ranged(source) | _constants(source)
    if not odd:
        return source
    tensors, nodes = dict(source.tensors), []
    zeros = {n.inputs[2] for n in source.nodes if n.kind in ("QuantizeLinear", "DequantizeLinear") and len(n.inputs) > 2}
    for name, container in odd.items():
        if name in zeros:
            tensors[name] = _recast(source.tensors[name], container, name)
            continue
        wide = f"{name}.{container}"
        tensors[wide] = _recast(tensors.pop(name), container, wide)
        limits = formats.get(source.tensors[name].format)
        nodes.append(_clip(wide, name, (limits.low, limits.high), container, tensors, source.opset))
    for node in source.nodes:
        wide_type = odd.get(node.inputs[2]) if node.kind == "QuantizeLinear" and len(node.inputs) > 2 else None
        if wide_type is None:
            nodes.append(node)
            continue
        limits, y = formats.get(source.tensors[node.inputs[2]].format), node.outputs[0]
        wide, bounds = f"{y}.{wide_type}", node.attrs.get("range", (limits.low, limits.high))
        quantizer = replace(node, outputs=(wide,), attrs={k: v for k, v in node.attrs.items() if k != "range"})
        nodes += [quantizer, _clip(wide, y, bounds, wide_type, tensors, source.opset)]
    return replace(source, nodes=tuple(nodes), tensors=tensors)


def _ranged(source: SourceGraph) -> dict[str, str]:
    """The zero points of quantizers into a part of a format, which a Clip must cut out of a type that it knows."""
    ranged = [n.inputs[2] for n in source.nodes if n.kind == "QuantizeLinear" and "range" in n.attrs]
    found = {}
    for zero in ranged:
        fmt = source.tensors[zero].format
        found[zero] = _container(fmt) or f"{fmt.rstrip('0123456789')}{max(8, formats.get(fmt).bits)}"
    return found


def _constants(source: SourceGraph) -> dict[str, str]:
    """Signed constants of 9 to 15 bits and their zero points, in int32: ONNX Runtime clips that type, and not int16."""
    found: dict[str, str] = {}
    for n in source.nodes:
        own = [source.tensors.get(t) for t in (n.inputs[0], *n.inputs[2:3])] if n.kind == "DequantizeLinear" else []
        constants = [t.constant for t in own if t is not None and t.constant is not None and _container(t.format) == "int16"]
        if len(constants) == len(own) > 0 and (len(own) < 2 or not constants[1].array.any()):
            found.update((t.name, "int32") for t in own if t is not None)
    return found


def _recast(t: SourceTensor, container: str, name: str) -> SourceTensor:
    constant = t.constant
    assert constant is not None, "a tensor of an odd width is constant"
    return SourceTensor(name, container, t.shape, Constant(lambda: constant.array.astype(container), name))


def _clip(x: str, y: str, bounds: tuple[float, float], container: str, tensors: dict[str, SourceTensor], opset: int) -> SourceNode:
    names = []
    for value in bounds:
        name = f"{container}.{int(value)}"
        tensors[name] = SourceTensor(name, container, (), Constant.of(np.asarray(value, container), name))
        names.append(name)
    return SourceNode("Clip", f"{y}.clip", (x, *names), (y,), {}, opset)
