"""QOperator: integer operators on stored 8-bit tensors, ONNX's and ONNX Runtime's; what they lack stays between quantizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Tensor
from hwsim.ops._mac import bounds, epilogue
from hwsim.ops._writing import Written
from hwsim.program import Step
from hwsim.quant import Array
from hwsim.shelf import load
from hwsim.steps.pen import Pen
from hwsim.steps.step import step_of

__all__ = ["QoperatorPen"]

BYTES = ("int8", "uint8")
MICROSOFT = "com.microsoft"


class QoperatorPen(Pen):
    """A node whose data is stored in 8 bits becomes the integer operator, with scales and zero points as inputs."""

    def _direct(self, node: Node) -> bool:
        step = step_of(self.graph, node, self.graph.source.arithmetic)
        write = DIRECT.get(node.op, _moved if getattr(load("ops", node.op), "MOVES", False) else None)
        return step.integer and write is not None and write(self, step)

    def grid(self, name: str) -> tuple[str, str, str]:
        """A stored tensor with its scale and zero point."""
        return self.number(name), *self.parameters(self.graph.tensors[name])

    def end(self, step: Step, kind: str, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> bool:
        """The operator, and the bound of stored numbers that its output's type does not set by itself."""
        y, (low, high) = step.outputs[0], bounds(step)
        assert y.quant is not None
        fmt = y.quant.format
        whole = (low, high) == (fmt.low, fmt.high)
        target = y.name if whole else self.fresh(f"{y.name}.linear")
        self.put(Written(kind, inputs, attrs, (target,)), step.name)
        if not whole:
            ends = (np.asarray(v, fmt.dtype) for v in (low, high))
            self.put(Written("Clip", (target, *ends), {}, (y.name,)), f"{step.name}.clip")
        return True


def _bytes(step: Step, tensors: tuple[Tensor | None, ...]) -> bool:
    """Whether everything is stored in 8 bits; products of other widths have no form at all."""
    found = [t.format for t in tensors if t is not None]
    if all(f in BYTES for f in found):
        return True
    raise HwsimError(step.node.where, "must have 8-bit operands to be a QOperator", ", ".join(found))


def _product(step: Step) -> bool:
    y, w = step.outputs[0], step.inputs[1]
    return y.quant is not None and w is not None and _bytes(step, (*step.inputs[:2], y)) and arithmetic_of(step).BIAS != "float32"


def _bias(pen: QoperatorPen, step: Step, channels: int) -> tuple[Array, ...]:
    """The bias in units of the accumulator."""
    if len(step.inputs) < 3 or step.inputs[2] is None:
        return ()
    found = epilogue(step, channels).bias
    if np.abs(found).max(initial=0) >= 1 << 31:
        raise HwsimError(step.node.where, "must have a 32-bit bias to be a QOperator", f"{np.abs(found).max()}")
    return (found.astype(np.int32),)


def _conv(pen: QoperatorPen, step: Step) -> bool:
    if not _product(step):
        return False
    x, w, y = step.inputs[0], step.inputs[1], step.outputs[0]
    assert x is not None and w is not None
    inputs = (*pen.grid(x.name), *pen.grid(w.name), *pen.parameters(y), *_bias(pen, step, w.shape[0]))
    return pen.end(step, "QLinearConv", inputs, dict(load("ops", "conv").write(step.node, step.inputs).attrs))


def _matmul(pen: QoperatorPen, step: Step) -> bool:
    """Two matrices are a QGemm; others are a QLinearMatMul, which neither turns, scales nor adds."""
    if not _product(step):
        return False
    a, x, w, y = step.node.attrs, step.inputs[0], step.inputs[1], step.outputs[0]
    assert x is not None and w is not None
    left, right = pen.grid(x.name), pen.grid(w.name)
    if len(x.shape) == len(w.shape) == 2:
        bias = _bias(pen, step, y.shape[-1]) or ("",)
        attrs = {"transA": int(a["trans_a"]), "transB": int(a["trans_b"]), "alpha": a["alpha"]}
        return pen.end(step, f"{MICROSOFT}.QGemm", (*left, *right, *bias, *pen.parameters(y)), attrs)
    if a["trans_a"] or a["trans_b"] or a["alpha"] != 1 or len(step.inputs) > 2:
        return False
    return pen.end(step, "QLinearMatMul", (*left, *right, *pen.parameters(y)), {})


def _binary(pen: QoperatorPen, step: Step) -> bool:
    kind = {"add": "QLinearAdd", "mul": "QLinearMul"}.get(step.node.attrs["function"])
    if kind is None or len(step.inputs) != 2 or step.node.attrs.get("pot_scale") or not _all_bytes(step):
        return False
    inputs = [v for t in step.node.inputs for v in pen.grid(t)]
    return pen.end(step, f"{MICROSOFT}.{kind}", (*inputs, *pen.parameters(step.outputs[0])), {})


def _all_bytes(step: Step) -> bool:
    return all(t is not None and t.format == step.outputs[0].format in BYTES for t in step.inputs)


def _concat(pen: QoperatorPen, step: Step) -> bool:
    if not _all_bytes(step):
        return False
    inputs = [v for t in step.node.inputs for v in pen.grid(t)]
    return pen.end(step, f"{MICROSOFT}.QLinearConcat", (*pen.parameters(step.outputs[0]), *inputs), {"axis": step.node.attrs["axis"]})


def _single(kinds: dict[str, str]) -> Callable[[QoperatorPen, Step], bool]:
    """An operator of one stored tensor, by the real operator that it is written as."""

    def write(pen: QoperatorPen, step: Step) -> bool:
        written = load("ops", step.op).write(step.node, step.inputs)
        kind = None if isinstance(written, list) else kinds.get(written.kind)
        if kind is None or not _all_bytes(step) or written.attrs.get("beta", 1) != 1:
            return False
        more = {"opset": 13} if kind == "QLinearSoftmax" else {}
        attrs = {k: v for k, v in written.attrs.items() if k != "dilations"}
        return pen.end(step, f"{MICROSOFT}.{kind}", (*pen.grid(step.node.inputs[0]), *pen.parameters(step.outputs[0])), {**attrs, **more})

    return write


def _moved(pen: QoperatorPen, step: Step) -> bool:
    """Moves take stored numbers as they are, on one grid."""
    x = step.inputs[0]
    assert x is not None and x.quant is not None
    if not all(t.format in BYTES and t.quant is not None and t.quant.same_grid(x.quant) for t in (x, *step.outputs)):
        return False
    named = replace(step.node, inputs=(pen.number(step.node.inputs[0]), *(pen.value(t) for t in step.node.inputs[1:])))
    pen.put(load("ops", step.op).write(named, step.inputs), step.name, step.node.outputs)
    return True


DIRECT: dict[str, Callable[[QoperatorPen, Step], bool]] = {
    "conv": _conv,
    "matmul": _matmul,
    "binary": _binary,
    "concat": _concat,
    "average_pool": _single({"AveragePool": "QLinearAveragePool", "GlobalAveragePool": "QLinearGlobalAveragePool"}),
    "unary": _single({"Sigmoid": "QLinearSigmoid", "LeakyRelu": "QLinearLeakyRelu"}),
    "softmax": _single({"Softmax": "QLinearSoftmax"}),
}
