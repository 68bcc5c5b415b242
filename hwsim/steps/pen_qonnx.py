"""QONNX: quantizers that take and give real numbers, of any width, rounding and set of levels.

Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022.  Stored inputs and outputs of the
network itself, and biases, stay behind DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Tensor
from hwsim.ops._qonnx import MIRRORED, integer_range
from hwsim.ops._writing import Written
from hwsim.quant import Array, QuantParams
from hwsim.shelf import load
from hwsim.steps.pen import Pen, exact_reals

__all__ = ["QonnxPen"]

DOMAIN = "qonnx.custom_op.general"
MOST_BITS, LARGEST = 32, 16  # wider constants, biases, are not always exact as float32


class QonnxPen(Pen):
    """A stored tensor is the Quant that makes it: its real numbers have a name, the stored ones only at the ends of the network."""

    def dequantized(self, t: Tensor, target: str) -> str:
        if t.name in self.graph.inputs or t.constant is None:
            return super().dequantized(t, target)
        assert t.quant is not None
        if t.quant.bits > LARGEST:
            return super().dequantized(t, target)
        real = exact_reals(t)
        self.put(_quant(self.constant(real, f"{t.name}.numbers"), target, t, "ROUND", ""), f"{target}.quant")
        return target

    def store(self, node: Node, source: str, rounding: str = "") -> None:
        self._store(node, self.graph.tensors[node.outputs[0]], source, rounding or "ROUND")

    def quantize(self, node: Node, t: Tensor, source: str) -> None:
        self._store(node, t, source, "ROUND")

    def _store(self, node: Node, t: Tensor, source: str, rounding: str) -> None:
        real = self.real_names[t.name] = self.real_name(t)
        self.put(_quant(source, real, t, rounding, node.where), f"{t.name}.quant")
        self._give_out(node, t, real)

    def _give_out(self, node: Node, t: Tensor, real: str) -> None:
        """A stored output of the network itself."""
        if t.name in self.graph.outputs or any(n.op == "reinterpret" for n in self.graph.consumers[t.name]):
            super().quantize(node, t, real)

    def _levels(self, node: Node) -> bool:
        """MultiThreshold and Trunc give real numbers themselves."""
        t = self.graph.tensors[node.outputs[0]]
        if t.quant is None:
            return False
        real = self.real_names[t.name] = self.real_name(t)
        named = Node(node.name, node.op, (self.value(node.inputs[0]),), (real,), node.attrs, node.source)
        self.put(load("ops", node.op).write(named, [self.graph.tensor(node.inputs[0])]), node.name, (real,))
        self._give_out(node, t, real)
        return True

    direct = {"multi_threshold": _levels, "trunc": _levels}


def _quant(source: str, target: str, t: Tensor, rounding: str, where: str) -> Written:
    """The quantizer of a tensor."""
    q, f32 = t.quant, np.float32
    assert q is not None
    if not q.format.is_integer or q.block_size:
        wanted = "must be of integers with a scale per tensor or channel to be quantized in QONNX"
        raise HwsimError(where or f"tensor '{t.name}'", wanted, f"{q.format.name}, {q.granularity}")
    scale, zero = (_along(v, q, len(t.shape)) for v in (q.scale, q.zero_point))
    if q.format.name == "bipolar":
        return Written(f"{DOMAIN}.BipolarQuant", (source, scale), {}, (target,))
    found = _width(q.qmin, q.qmax)
    if found is None:
        found, rounding = _width(-q.qmax, -q.qmin), MIRRORED.get(rounding, rounding)
        scale, zero = -scale, -zero
    if found is None:
        raise HwsimError(where or f"tensor '{t.name}'", "must have a range of whole bits to be quantized in QONNX", f"{q.qmin} to {q.qmax}")
    bits, attrs = found
    return Written(f"{DOMAIN}.Quant", (source, scale, zero, np.asarray(bits, f32)), {**attrs, "rounding_mode": rounding}, (target,))


def _along(values: Array, q: QuantParams, rank: int) -> Array:
    """Numbers per channel, shaped to broadcast against the tensor."""
    return np.asarray(q.spread(values, (1,) * rank), np.float32)


def _width(low: float, high: float) -> tuple[int, dict[str, Any]] | None:
    """The bits, sign and narrowness of a range."""
    for bits in range(1, MOST_BITS + 1):
        for signed, narrow in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if (bits > 1 or not (signed or narrow)) and integer_range(bits, bool(signed), bool(narrow)) == (low, high):
                return bits, {"signed": signed, "narrow": narrow}
    return None
