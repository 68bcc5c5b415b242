"""Where a chip runs each operator, at which widths, and why not in integers when it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.arch import Arch, MacArray, parse_precision
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, Tensor
from hwsim.program import Step, function_name, mac_kind
from hwsim.shelf import load
from hwsim.steps.grids import grid_faults
from hwsim.steps.step import step_of

__all__ = ["FALLBACK", "FREE", "Carried", "Placement", "carry", "layer_kind", "place", "precision_of", "real_format"]

FALLBACK, FREE = "fallback", ""
FLOATS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp32"}


@dataclass(frozen=True)
class Carried:
    """How an array carries a precision: MACs per multiplier and cycle, and the operand widths that it really multiplies."""

    rate: float
    precision: str
    how: str


@dataclass(frozen=True)
class Placement:
    """Where one node runs.  `stored` is its precision in the file, `runs` what the unit multiplies; `reason` explains a fallback."""

    node: Node
    step: Step
    unit: str
    stored: str = ""
    carried: Carried | None = None
    reason: str = ""

    @property
    def runs(self) -> str:
        return self.carried.precision if self.carried else self.stored


def precision_of(step: Step) -> str:
    """The precision of a MAC step as stored: w4a8, w4fp16 (real activations, stored weights), fp32, ..."""
    x, w = step.inputs[0], step.inputs[1]
    assert x is not None
    assert w is not None
    if step.integer or (x.format in ("int8", "uint8") and w.format in ("int8", "uint8")):
        return f"w{formats.get(w.format).bits}a{formats.get(x.format).bits}"
    real = FLOATS.get(x.format if x.quant is None else "float32", "fp8")
    return real if w.quant is None else f"w{w.quant.bits}{real}"


@lru_cache(maxsize=4096)
def _carry(
    rates: tuple[tuple[str, float], ...], serial: tuple[int, int, int] | None, compose: tuple[int, int] | None, precision: str
) -> Carried | None:
    known = dict(rates)
    if precision in known:
        return Carried(known[precision], precision, "native")
    weight, activation = parse_precision(precision)
    if isinstance(weight, int) and isinstance(activation, int):
        return _carry_integers(known, serial, compose, weight, activation)
    wider = {
        "fp8": ("fp8", "fp16", "bf16", "fp32"),
        "fp16": ("fp16", "bf16", "fp32"),
        "bf16": ("bf16", "fp16", "fp32"),
        "fp32": ("fp32", "fp16", "bf16"),
    }[str(activation)]
    for real in wider:
        if real in known:
            how = "native" if real == precision else "unpacked" if isinstance(weight, int) else f"as {real}"
            return Carried(known[real], real, how)
    return None


def _carry_integers(
    known: dict[str, float], serial: tuple[int, int, int] | None, compose: tuple[int, int] | None, w: int, a: int
) -> Carried | None:
    if serial is not None and max(w, a) <= serial[2]:
        passes = -(-w // serial[0]) * -(-a // serial[1])
        return Carried(1 / passes, f"w{w}a{a}", f"{passes} passes")
    if compose is not None and max(w, a) <= compose[1]:
        rw, ra = (_round_up(v, *compose) for v in (w, a))
        return Carried((compose[1] // rw) * (compose[1] // ra), f"w{rw}a{ra}", "composed" if (rw, ra) == (w, a) else "composed wider")
    wide = [
        (rate, name)
        for name, rate in known.items()
        for p in [parse_precision(name)]
        if isinstance(p[0], int) and isinstance(p[1], int) and p[0] >= w and p[1] >= a
    ]
    if not wide:
        return None
    rate, name = min(wide, key=lambda r: (prod(int(v) for v in parse_precision(r[1])), -r[0]))
    return Carried(rate, name, f"promoted to {name}")


def _round_up(bits: int, smallest: int, largest: int) -> int:
    width = smallest
    while width < bits:
        width *= 2
    return min(width, largest)


def carry(array: MacArray, precision: str) -> Carried | None:
    """How an array runs a precision: natively, piece by piece, composed, or promoted to the next wider; None when it cannot."""
    serial = (array.serial.weights, array.serial.activations, array.serial.most) if array.serial else None
    compose = (array.compose.smallest, array.compose.largest) if array.compose else None
    return _carry(tuple(array.rates.items()), serial, compose, precision)


def layer_kind(step: Step) -> str:
    """What an array's `efficiency` calls the operator: 1x1 convolutions are pointwise, those in groups of several channels grouped."""
    kind = mac_kind(step)
    if kind != "conv":
        return kind
    weights = step.inputs[1]
    return "grouped" if step.node.attrs["group"] > 1 else "pointwise" if weights is not None and set(weights.shape[2:]) <= {1} else kind


def real_format(arch: Arch) -> str:
    """The format in which the chip keeps real numbers: its arrays' widest float, or the fallback's."""
    for key, name in (("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")):
        if any(key in a.rates for a in arch.arrays.values()):
            return name
    return arch.fallback.format if arch.fallback else "float32"


def place(arch: Arch, graph: Graph) -> list[Placement]:
    """A placement for every node, in run order."""
    return [_place_node(arch, graph, n) for n in graph.nodes]


def _place_node(arch: Arch, graph: Graph, node: Node) -> Placement:
    arithmetic = arch.arithmetic.of(node.attrs.get("function", node.op))
    step = step_of(graph, node, arithmetic)
    if hasattr(load("ops", node.op), "loops"):
        return _place_mac(arch, node, step)
    return _place_vector(arch, graph, node, step)


def _place_mac(arch: Arch, node: Node, step: Step) -> Placement:
    stored, kind = precision_of(step), mac_kind(step)
    faults = grid_faults(arch.quantization, step) if step.integer else []
    if faults:
        return _fall_back(node, step, stored, faults[0].message)
    reason = f"no array runs {kind}"
    for name, array in arch.arrays.items():
        if kind not in array.runs:
            continue
        carried = carry(array, stored)
        if carried is None:
            reason = _why_not(stored)
            continue
        broken = _arithmetic_fault(step)
        if broken:
            return _fall_back(node, step, stored, broken)
        own = replace(step, accumulator=array.accumulator.spec())
        return Placement(node, own, name, stored, carried)
    return _fall_back(node, step, stored, reason)


def _fall_back(node: Node, step: Step, stored: str, reason: str) -> Placement:
    """The fallback dequantizes, computes real numbers, and quantizes again."""
    return Placement(node, replace(step, integer=False), FALLBACK, stored, None, reason)


def _why_not(stored: str) -> str:
    if stored in ("fp32", "fp16", "bf16"):
        return f"its operands are not quantized and no array runs {stored}"
    return f"no array runs {stored}"


def _arithmetic_fault(step: Step) -> str:
    """Why the chip's requantization cannot take the scales of a MAC step; "" when it can."""
    x, w, y = (t.quant if t is not None else None for t in (*step.inputs[:2], step.outputs[0]))
    if not step.integer or x is None or w is None or y is None:
        return ""
    return _scales_fault(step.arithmetic, x.scale, w.scale, y.scale)


def _scales_fault(arithmetic: str, *scales: Any) -> str:
    return _known_fault(arithmetic, *((np.asarray(s).tobytes(), s.dtype.char, s.shape) for s in scales))


@lru_cache(maxsize=1024)
def _known_fault(arithmetic: str, *scales: tuple[bytes, str, tuple[int, ...]]) -> str:
    """`_scales_fault` of arrays by their bytes: networks at many widths keep their scales."""
    try:
        load("arithmetics", arithmetic).parameters(*(np.frombuffer(b, dtype).reshape(shape) for b, dtype, shape in scales))
    except HwsimError as e:
        return e.must
    return ""


def _turns_channels(graph: Graph, node: Node) -> bool:
    """Whether a transpose turns channels-first into channels-last order or back: NCHW to NHWC, or NCL to NLC behind a flattened map."""
    perm = tuple(node.attrs["perm"])
    if perm in ((0, 2, 3, 1), (0, 3, 1, 2)):
        return True
    before = graph.producer.get(node.inputs[0])
    while before is not None and before.op in ("quantize", "dequantize"):
        before = graph.producer.get(before.inputs[0])
    return perm == (0, 2, 1) and before is not None and before.op == "reshape" and len(graph.tensors[before.inputs[0]].shape) == 4


def _place_vector(arch: Arch, graph: Graph, node: Node, step: Step) -> Placement:
    name, unit = next(iter(arch.vector.items()))
    work = load("ops", node.op).work(node, step.inputs, step.outputs) if hasattr(load("ops", node.op), "work") else {"copy": 1}
    if not work or (arch.channels_last and node.op == "transpose" and _turns_channels(graph, node)):
        return Placement(node, step, FREE)
    has = None if unit.runs is None else {*unit.runs, "copy", "requantize", "quantize", "dequantize"}
    missing = [w for w in work if has is not None and w not in has]
    if missing:
        return _fall_back(node, step, "", f"the vector unit has no {missing[0]}")
    if _touches_reals(step) and unit.real == 0:
        return _fall_back(node, step, "", "it computes real numbers and the vector unit has integers only")
    broken = _rescale_fault(step) if step.integer and node.op in ("binary", "average_pool", "reduce") else ""
    if broken:
        return _fall_back(node, step, "", broken)
    own = function_name(step)
    return Placement(node, step, next((a for a, spec in arch.arrays.items() if step.integer and own in spec.runs), name))


def _rescale_fault(step: Step) -> str:
    """Why an operand, or the sum of an average's window, cannot be rescaled to the output's grid."""
    x, y = step.inputs[0], step.outputs[0].quant
    assert x is not None
    assert y is not None
    module, cells = load("ops", step.op), np.ones(1)
    if step.op == "average_pool":
        cells = np.unique(module.counts(step.node, x.shape[2:]))
    elif step.op == "reduce" and step.node.attrs["function"] == "mean":
        cells = np.full(1, module.terms(step.node, x.shape))
    quants = [t.quant for t in step.inputs if t is not None and t.quant is not None]
    faults = [_scales_fault(step.arithmetic, np.float64(q.scale) / cells, np.float32(1), y.scale) for q in quants]
    return next((f for f in faults if f), "")


def _touches_reals(step: Step) -> bool:
    """Whether real numbers go in or come out, beyond quantizing the network's input and dequantizing its output."""
    if step.op in ("quantize", "dequantize"):
        return False
    data: list[Tensor] = [t for t in (*step.inputs, *step.outputs) if t is not None and t.constant is None]
    return not step.integer and any(t.format.startswith(("float", "bfloat")) for t in data)
