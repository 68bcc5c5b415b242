"""Functions of one number: activations, roundings, roots and exponentials; `function` names which.

On stored numbers of up to 8 bits any of them is a table of 256 entries: dequantize, compute in float32, quantize.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.arithmetics import _mlas_activations, arithmetic_of
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import piecewise, reals
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, Reading, choice, input_name
from hwsim.ops._tables import emit_table
from hwsim.ops._writing import Operands, Written, like
from hwsim.program import Step
from hwsim.quant import Array


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def _gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return np.asarray(COMPILED["gelu"](x))


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _selu(x: Array, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Array:
    return gamma * _elu(x, alpha)


def _is_inf(x: Array, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    return (np.isposinf(x) & bool(detect_positive)) | (np.isneginf(x) & bool(detect_negative))


def _sigmoid(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(x))


def _erf(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(x))


COMPILED = {**piecewise.FUNCTIONS, **_mlas_activations.FUNCTIONS}  # on lanes too
FUNCTIONS: dict[str, Callable[..., Array]] = {
    **COMPILED,
    "gelu": _gelu,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "elu": _elu,
    "celu": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    "selu": _selu,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "shrink": lambda x, bias=0.0, lambd=0.5: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "neg": np.negative,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "reciprocal": np.reciprocal,
    "not": np.logical_not,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "is_nan": np.isnan,
    "is_inf": _is_inf,
}
DOUBLE: dict[str, Callable[..., Array]] = {  # of float64 numbers, what is defined in float32 alone
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": _erf,
    "gelu": lambda x, approximate="none": _gelu(x, approximate) if approximate == "tanh" else x * (1 + _erf(x / math.sqrt(2))) / 2,
    "swish": lambda x, alpha=1.0: x * _sigmoid(alpha * x),
    "quick_gelu": lambda x, alpha=1.702: x * _sigmoid(alpha * x),
}
PART = 1 << 14  # numbers
BIG = float(np.finfo(np.float32).max)
_TESTS = ("is_nan", "is_inf", "not")
_SOURCES = {
    "Relu": "relu",
    "LeakyRelu": "leaky_relu",
    "ThresholdedRelu": "thresholded_relu",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "HardSwish": "hard_swish",
    "Swish": "swish",
    "Gelu": "gelu",
    "Mish": "mish",
    "Elu": "elu",
    "Celu": "celu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Shrink": "shrink",
    "Erf": "erf",
    "Tanh": "tanh",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Neg": "neg",
    "Sign": "sign",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Reciprocal": "reciprocal",
    "Not": "not",
    "Sin": "sin",
    "Cos": "cos",
    "Tan": "tan",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Asin": "asin",
    "Acos": "acos",
    "Atan": "atan",
    "Asinh": "asinh",
    "Acosh": "acosh",
    "Atanh": "atanh",
    "IsNaN": "is_nan",
    "IsInf": "is_inf",
    "com.microsoft.Gelu": "gelu",
    "com.microsoft.QuickGelu": "quick_gelu",
}

_KINDS = {function: kind for kind, function in reversed(_SOURCES.items())}


def _reads(function: str) -> Reading:
    def read(s: SourceNode, r: Reader) -> None:
        if function == "gelu":
            choice(s, "approximate", ("none", "tanh"), "none")
        named = {"lambd" if k == "lambda" else k: v for k, v in s.attrs.items()}
        r.emit(s, "unary", s.inputs[:1], {"function": function, "params": named})

    return read


def _read_clip(s: SourceNode, r: Reader) -> None:
    """Bounds are attributes up to opset 10 and constant inputs later."""
    bounds = []
    for index, attr, default in ((1, "min", -BIG), (2, "max", BIG)):
        bounds.append(r.number(s, index, f"the {attr}imum") if input_name(s, index) else float(s.attrs.get(attr, default)))
    r.emit(s, "unary", s.inputs[:1], {"function": "clip", "params": {"low": bounds[0], "high": bounds[1]}})


def _reads_qlinear(function: str) -> Reading:
    def read(s: SourceNode, r: Reader) -> None:
        x = r.quantized(s, 0, 1, 2)
        y = r.params(s, x, 3, 4, fmt=r.tensors[x].format)
        r.emit(s, "unary", (x,), {"function": function, "params": dict(s.attrs)}, quants=[y])

    return read


READS = {
    **{kind: _reads(f) for kind, f in _SOURCES.items()},
    "Clip": _read_clip,
    "com.microsoft.QLinearSigmoid": _reads_qlinear("sigmoid"),
    "com.microsoft.QLinearLeakyRelu": _reads_qlinear("leaky_relu"),
}


def write(node: Node, operands: Operands) -> Written:
    function, params = node.attrs["function"], dict(node.attrs["params"])
    if function == "clip":
        bounds = (like(v, operands[0]) if abs(v) < BIG else "" for v in (params["low"], params["high"]))
        return Written("Clip", (node.inputs[0], *bounds))
    return Written(_KINDS[function], node.inputs, params, since=24 if function == "swish" else 21)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    fmt = "bool" if node.attrs["function"] in _TESTS else x.format if x.quant is None else "float32"
    return [(x.shape, fmt)]


def compute(node: Node, x: Array) -> Array:
    """In parts that fit in the processor's caches."""
    flat, params, function = x.reshape(-1), _params(node), function_of(node.attrs["function"], x.dtype)
    with np.errstate(all="ignore"):
        parts = [np.asarray(function(flat[i : i + PART], **params)) for i in range(0, max(flat.size, 1), PART)]
    y: Array = np.concatenate(parts).reshape(x.shape)
    return y if y.dtype == bool else y.astype(x.dtype)


def function_of(name: str, dtype: Any) -> Callable[..., Array]:
    """A function of numbers of a type: of float64 with all of its digits."""
    return DOUBLE.get(name, FUNCTIONS[name]) if dtype == np.float64 else FUNCTIONS[name]


def _params(node: Node) -> dict[str, Any]:
    return {k: np.float32(v) if isinstance(v, float) else v for k, v in node.attrs["params"].items()}


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    function = step.node.attrs["function"]
    stored = getattr(arithmetic_of(step), "STORED", {}).get(function)
    if stored is not None:
        y = stored(x.astype(np.int64), source.quant, target, step.node.attrs["params"])
        return np.clip(y, target.qmin, target.qmax).astype(target.format.dtype)
    return target.quantize(compute(step.node, source.quant.dequantize(x)))


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {node.attrs["function"]: outputs[0].elements}


def kernel(step: Step, desk: Desk) -> bool:
    """A table over all stored numbers."""
    return emit_table(step, desk, lambda q: integer(step, q))


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers one by one."""
    x, y, function = step.inputs[0], step.outputs[0], step.node.attrs["function"]
    numbers = _params(step.node)
    if x is None or function not in COMPILED or numbers.pop("approximate", "none") != "none":
        return False
    params = tuple((n, float(v)) for n, v in numbers.items())
    return desk.walk(reals.one, y.shape, [desk.real(x)], desk.operand(desk.place(y)), COMPILED[function], params)
