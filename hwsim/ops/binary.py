"""Functions of two numbers (or more, for Min, Max, Sum and Mean) with broadcasting; `function` names which.

Stored numbers: `add` and `mul` follow the arithmetic's own formula, the others dequantize, compute in float32 and quantize.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from hwsim.arithmetics import _default, arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import integers, moving, reals
from hwsim.ops._lowering import Desk
from hwsim.ops._mac import bounds
from hwsim.ops._reading import Reader, Reading
from hwsim.ops._tables import MOST_BITS
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array


def _divide(a: Array, b: Array) -> Array:
    """Integers divide toward zero, as ONNX Runtime does."""
    return np.trunc(a / b).astype(a.dtype) if a.dtype.kind in "iu" else a / b


def _power(a: Array, b: Array) -> Array:
    """Integers through float64, as C's pow: a negative exponent gives 0, 1 or -1."""
    return np.power(a.astype(np.float64), b).astype(a.dtype) if a.dtype.kind in "iu" else np.power(a, b).astype(a.dtype)


def _prelu(x: Array, slope: Array) -> Array:
    return np.where(x >= 0, x, x * slope)


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divide,
    "pow": _power,
    "min": np.minimum,
    "max": np.maximum,
    "mod": np.mod,
    "fmod": np.fmod,
    "prelu": _prelu,
    "atan2": np.arctan2,
    "equal": np.equal,
    "greater": np.greater,
    "less": np.less,
    "greater_or_equal": np.greater_equal,
    "less_or_equal": np.less_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}
COMPILED = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}  # on lanes
_TRUTHS = ("equal", "greater", "less", "greater_or_equal", "less_or_equal", "and", "or", "xor")
_SOURCES = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "Pow": "pow",
    "Min": "min",
    "Max": "max",
    "PRelu": "prelu",
    "Sum": "add",
    "Equal": "equal",
    "Greater": "greater",
    "Less": "less",
    "GreaterOrEqual": "greater_or_equal",
    "LessOrEqual": "less_or_equal",
    "And": "and",
    "Or": "or",
    "Xor": "xor",
}

_KINDS = {function: kind for kind, function in reversed(_SOURCES.items())}


def _reads(function: str) -> Reading:
    def read(s: SourceNode, r: Reader) -> None:
        r.emit(s, "binary", s.inputs, {"function": function, **({"pot_scale": True} if s.attrs.get("pot_scale") else {})})

    return read


def _read_mod(s: SourceNode, r: Reader) -> None:
    r.emit(s, "binary", s.inputs, {"function": "fmod" if s.attrs.get("fmod", 0) else "mod"})


def _reads_qlinear(function: str) -> Reading:
    def read(s: SourceNode, r: Reader) -> None:
        a, b = r.quantized(s, 0, 1, 2), r.quantized(s, 3, 4, 5)
        y = r.params(s, a, 6, 7, fmt=r.tensors[a].format)
        r.emit(s, "binary", (a, b), {"function": function}, quants=[y])

    return read


READS = {
    **{kind: _reads(f) for kind, f in _SOURCES.items()},
    "Mod": _read_mod,
    "com.microsoft.QLinearAdd": _reads_qlinear("add"),
    "com.microsoft.QLinearMul": _reads_qlinear("mul"),
}


def write(node: Node, operands: Operands) -> Written:
    function = node.attrs["function"]
    if function in ("mod", "fmod"):
        return Written("Mod", node.inputs, {"fmod": int(function == "fmod")})
    kind = "Sum" if function == "add" and len(node.inputs) != 2 else _KINDS[function]
    return Written(kind, node.inputs, {"pot_scale": 1} if node.attrs.get("pot_scale") else {})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    tensors = [t for t in inputs if t is not None]
    shapes = [t.shape for t in tensors]
    if node.attrs["function"] == "prelu" and len(shapes) == 2 and len(shapes[1]) > len(shapes[0]):
        raise HwsimError(node.where, "the slope must broadcast to the input", shapes[1])
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise HwsimError(node.where, "the inputs must broadcast", " and ".join(map(str, shapes))) from None
    x = tensors[0]
    return [(shape, "bool" if node.attrs["function"] in _TRUTHS else x.format if x.quant is None else "float32")]


def compute(node: Node, *arrays: Array) -> Array:
    with np.errstate(all="ignore"):
        y: Array = reduce(FUNCTIONS[node.attrs["function"]], arrays)
    clip = node.attrs.get("clip")
    return y if clip is None else np.clip(y, np.float32(clip[0]), np.float32(clip[1]))


def integer(step: Step, *arrays: Array) -> Array:
    quants = tuple(t.quant for t in (*step.inputs, step.outputs[0]) if t is not None and t.quant is not None)
    target, function = quants[-1], step.node.attrs["function"]
    arithmetic, (low, high), own = arithmetic_of(step), bounds(step), _own(step)
    if own is not None:
        a, b = (v.astype(np.int64) for v in (arrays[::-1] if own.swapped else arrays))
        return np.asarray(own.function(a, b, own.parameters, low, high)).astype(target.format.dtype)
    if len(arrays) == 2 and function in ("add", "mul") and not hasattr(arithmetic, "REAL"):
        a, b = (v.astype(np.int64) for v in arrays)
        return np.asarray(getattr(_default, function)(arithmetic, a, b, quants, low, high)).astype(target.format.dtype)
    real = [q.dequantize(v) for q, v in zip(quants, arrays, strict=False)]
    return np.clip(target.quantize(compute(step.node, *real)), low, high).astype(target.format.dtype)


@dataclass(frozen=True)
class Own:
    """The formula that a step's arithmetic has for two stored numbers, with its parameters; `swapped`: of the right and the left one;
    `unlimited`: what it limits, where int32 always holds it for bytes."""

    function: Callable[..., Any]
    parameters: tuple[float, ...]
    swapped: bool
    unlimited: Callable[..., Any] | None = None


def _own(step: Step) -> Own | None:
    """None where the arithmetic has no formula of its own."""
    arithmetic = arithmetic_of(step)
    found = getattr(arithmetic, "BINARY", {}).get(step.node.attrs["function"])
    if found is None or len(step.inputs) != 2:
        return None
    a, b, y = (*step.inputs, step.outputs[0])
    assert a is not None and b is not None and a.quant is not None and b.quant is not None and y.quant is not None
    swapped = getattr(arithmetic, "SINGLE_LEFT_SWAPS", False) and a.elements == 1 and b.elements > 1
    parameters = found[0](*((b.quant, a.quant) if swapped else (a.quant, b.quant)), y.quant)
    unlimited, holds = getattr(arithmetic, "UNLIMITED", {}).get(step.node.attrs["function"], (None, any))
    return Own(found[1], parameters, swapped, unlimited if holds(parameters) else None)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {node.attrs["function"]: outputs[0].elements * max(len([t for t in inputs if t]) - 1, 1)}


def kernel(step: Step, desk: Desk) -> bool:
    """The arithmetic's own formula on two operands of up to 16 bits, or a table of all 65,536 pairs of up to 8."""
    y, operands, own = step.outputs[0], [t for t in step.inputs if t is not None], _own(step)
    most = MOST_BITS if own else 8
    stored = all(t.quant is not None and t.quant.bits <= most and t.quant.granularity == "per_tensor" for t in (*operands, y))
    if len(operands) != 2 or not stored:
        return False
    target, sides = desk.operand(desk.place(y)), [desk.source(t) for t in operands]
    if own is None:
        table = (integer(step, *np.meshgrid(*(s.numbers() for s in sides), indexing="ij")).astype(np.int64) - target.bias).astype(np.uint8)
        return desk.walk(moving.lookup_pairs, y.shape, sides, target, table=desk.keep(table))
    a, b = sides[::-1] if own.swapped else sides
    held = np.zeros(integers.PAIR_PARAMETERS)
    held[: len(own.parameters)] = own.parameters
    low, high = bounds(step)
    more = {"a_bias": a.bias, "b_bias": b.bias, "y_bias": target.bias, "low": low, "high": high}
    bytes_ = target.kind == "u8" and (low - target.bias, high - target.bias) == (0, 255)
    limited = own.unlimited is None or not bytes_ or a.kind != "u8" or b.kind != "u8"
    made = (integers.pairs, own.function) if limited else (integers.unlimited_pairs, own.unlimited)
    return desk.walk(made[0], y.shape, [a, b], target, made[1], parameters=desk.keep(held), **more)


def real(step: Step, desk: Desk) -> bool:
    """Sums, differences, products and quotients of two float32 tensors."""
    y, operands, clip = step.outputs[0], [t for t in step.inputs if t is not None], step.node.attrs.get("clip")
    function = COMPILED.get(step.node.attrs["function"])
    if function is None or len(operands) != 2:
        return False
    bounds = None if clip is None else (float(np.float32(clip[0])), float(np.float32(clip[1])))
    return desk.walk(reals.two, y.shape, [desk.real(t) for t in operands], desk.operand(desk.place(y)), function, bounds)
