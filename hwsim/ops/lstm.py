"""LSTM, one or two directions, with optional peepholes and coupled gates.

Stored numbers: an arithmetic with an `lstm` of its own computes a cell in integers, the others dequantize, compute and quantize.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from hwsim.arithmetics import _lstm_cell, arithmetic_of
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import lstm as kernels
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, check_shape, choice, input_name
from hwsim.ops._real_lstm import emit_real_lstm
from hwsim.ops._real_sums import real_matmul
from hwsim.ops._writing import Operands, Written
from hwsim.ops.unary import function_of
from hwsim.program import LoopNest, Step
from hwsim.quant import Array

_GRIDS = ("cell_scale", "hidden_scale", "hidden_zero", "cell_clip")


def _read(s: SourceNode, r: Reader) -> None:
    direction = choice(s, "direction", ("forward", "reverse", "bidirectional"), "forward")
    directions = 2 if direction == "bidirectional" else 1
    named = [a.lower() for a in s.attrs.get("activations", ["Sigmoid", "Tanh", "Tanh"] * directions)]
    unsupported = [k for k in ("clip", "layout") if s.attrs.get(k)] + (["sequence_lens"] if input_name(s, 4) else [])
    if unsupported or named != ["sigmoid", "tanh", "tanh"] * directions:
        raise HwsimError(s.where, "must use sigmoid and tanh gates over whole sequences", f"{', '.join(unsupported) or named}")
    inputs = [input_name(s, i) for i in (0, 1, 2, 3, 5, 6, 7)]
    r.emit(s, "lstm", inputs, {"hidden": _hidden(s, r, directions), "direction": direction, **_cell_attrs(s)})


def _cell_attrs(s: SourceNode) -> dict[str, Any]:
    """The gate that is one minus the other (ONNX Runtime: with input_forget that of forgetting; TFLite: the input's), the bound of the
    cell, and what a file says of a stored one: its scale, and the grid before the output."""
    scales = {k: s.attrs[k] for k in _GRIDS if k in s.attrs}
    coupled = "forget" if s.attrs.get("input_forget") else "input" if s.attrs.get("input_coupled") else ""
    return {"coupled": coupled, **scales}


def _hidden(s: SourceNode, r: Reader, directions: int) -> int:
    """The hidden size, after the shapes of all inputs are held against it."""
    _, batch, size = r.ranked(s, 0, 3, 3)
    hidden = int(s.attrs.get("hidden_size", r.ranked(s, 2, 3, 3)[2]))
    state = (directions, batch, hidden)
    wanted = {
        1: (directions, 4 * hidden, size),
        2: (directions, 4 * hidden, hidden),
        3: (directions, 8 * hidden),
        5: state,
        6: state,
        7: (directions, 3 * hidden),
    }
    for i, shape in wanted.items():
        check_shape(s, r, i, shape, "input")
    return hidden


READS = {"LSTM": _read}


def write(node: Node, operands: Operands) -> Written:
    """What ONNX has no attribute for stays beside the operator."""
    a, given = node.attrs, (*node.inputs, *[""] * 7)
    attrs = {"hidden_size": a["hidden"], "direction": a["direction"], "input_forget": int(a["coupled"] == "forget")}
    attrs |= {"input_coupled": 1} if a["coupled"] == "input" else {}
    return Written("LSTM", (*given[:4], "", *given[4:7]), attrs | {k: a[k] for k in _GRIDS if k in a})


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    steps, batch, hidden = x.shape[0], x.shape[1], node.attrs["hidden"]
    return [
        ((steps, w.shape[0], batch, hidden), x.format),
        ((w.shape[0], batch, hidden), x.format),
        ((w.shape[0], batch, hidden), x.format),
    ]


def loops(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> LoopNest:
    """Per direction and time step: a product of 4 hidden outputs with input and hidden state."""
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    hidden = node.attrs["hidden"]
    return LoopNest(N=x.shape[1], G=w.shape[0], K=4 * hidden, C=x.shape[2] + hidden, OX=x.shape[0])


def compute(
    node: Node,
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    peephole: Array | None = None,
    product: Callable[[Array, Array], Array] = np.matmul,
) -> tuple[Array, Array, Array]:
    """Gates in ONNX's order i, o, f, c; x is (steps, batch, input).  Real numbers in BLAS's order, or by a product of their own."""
    hidden, sequences, last_h, last_c = node.attrs["hidden"], [], [], []
    for d in range(w.shape[0]):
        backward = node.attrs["direction"] == "reverse" or d == 1
        h = np.zeros((x.shape[1], hidden), x.dtype) if h0 is None else h0[d]
        c = np.zeros((x.shape[1], hidden), x.dtype) if c0 is None else c0[d]
        bias = 0 if b is None else b[d, : 4 * hidden] + b[d, 4 * hidden :]
        p = np.zeros(3 * hidden, x.dtype) if peephole is None else peephole[d]
        outputs = []
        for t in range(x.shape[0])[:: -1 if backward else 1]:
            h, c = _cell(product(x[t], w[d].T) + product(h, r[d].T) + bias, c, p.reshape(3, hidden), node.attrs)
            outputs.append(h)
        sequences.append(np.stack(outputs[:: -1 if backward else 1]))
        last_h.append(h)
        last_c.append(c)
    return np.stack(sequences, 1), np.stack(last_h), np.stack(last_c)


in_order = partial(compute, product=real_matmul)


def _cell(gates: Array, c: Array, peepholes: Array, attrs: Mapping[str, Any]) -> tuple[Array, Array]:
    sigmoid, tanh = (function_of(name, gates.dtype) for name in ("sigmoid", "tanh"))
    clip = float(np.float32(attrs.get("cell_clip") or 0))
    h, c = _lstm_cell.cell(np.split(gates, 4, -1), c, list(peepholes), attrs["coupled"], clip, sigmoid, tanh)
    return np.asarray(h), np.asarray(c)


def integer(step: Step, x: Array, w: Array, r: Array, b: Array, *more: Array | None) -> tuple[Array, int]:
    target, own = step.outputs[0].quant, _own(step)
    assert target is not None
    if own is None:
        operands = zip(step.inputs, (x, w, r, b, *more), strict=True)
        reals = [a if t is None or t.quant is None or a is None else t.quant.dequantize(a) for t, a in operands]
        return target.quantize(compute(step.node, *reals)[0]), 0  # type: ignore[arg-type]
    hidden, low, high = step.node.attrs["hidden"], int(target.qmin), int(target.qmax)
    weights, state, start = _operands(step)
    h, c = np.full((x.shape[1], hidden), int(target.zero_point), np.int64), np.zeros((x.shape[1], hidden), np.int64)
    rows = []
    for numbers in x.astype(np.int64):
        sums = own.gate(numbers @ weights.T + start[0], h @ state.T + start[1], own.multipliers)
        i, o, f = np.split(own.logistic[sums[:, : 3 * hidden] + 32768], 3, -1)
        c = own.step(c, i, f, own.tanh[sums[:, 3 * hidden :] + 32768], own.numbers)
        h = np.clip(own.state(o, own.cell_tanh[c + 32768], own.numbers), low, high)
        rows.append(h)
    return np.stack(rows)[:, None], 0


def _own(step: Step) -> Any:
    """The cell in the arithmetic's own integers, None where it has none."""
    x, w, r, y = *step.inputs[:3], step.outputs[0]
    make, a = getattr(arithmetic_of(step), "lstm", None), step.node.attrs
    assert x is not None and w is not None and r is not None
    plain = a["direction"] == "forward" and a["coupled"] != "forget"
    whole = plain and "cell_scale" in a and len(step.inputs) > 3 and not any(step.inputs[4:])
    if make is None or not whole or r.quant is None or x.format not in ("int8", "int16") or y.format != x.format:
        return None
    more = {"entering": a["entering"]} if "entering" in a else {}
    grids = (a["cell_scale"], (a["hidden_scale"], a["hidden_zero"]), a["cell_clip"], a["coupled"] == "input")
    return make(x.quant, w.quant, r.quant, y.quant, *grids, **more)


def _operands(step: Step) -> tuple[Array, Array, Array]:
    """Weights, recurrent weights, and where the sums of both start: at the bias, without what the zero points add."""
    x, y = step.inputs[0], step.outputs[0].quant
    assert x is not None and x.quant is not None and y is not None
    weights, state, bias = (t.constant.array[0].astype(np.int64) for t in step.inputs[1:4] if t is not None and t.constant is not None)
    own = bias[: len(weights)] + bias[len(weights) :] - int(x.quant.zero_point) * weights.sum(1)
    return weights, state, np.stack([own, -int(y.zero_point) * state.sum(1)])


def kernel(step: Step, desk: Desk) -> bool:
    """One direction in integers."""
    own, x, y = _own(step), step.inputs[0], step.outputs[0]
    if own is None or x is None or y.quant is None:
        return False
    source, target, hidden = desk.place(x), desk.place(y), step.node.attrs["hidden"]
    weights, state, start = _operands(step)
    words = {"weights": weights, "recurrent": state, "logistic": own.logistic, "tanh": own.tanh, "cell_tanh": own.cell_tanh}
    args = {n: desk.keep(v.astype(np.int16)) for n, v in words.items()}
    args |= {"start": desk.keep(start), "multipliers": desk.keep(own.multipliers.astype(np.float64))}
    args |= {"numbers": desk.keep(np.array(own.numbers, np.int64)), "x": source.offset, "y": target.offset, "hidden": hidden}
    args |= dict(zip(("steps", "batch", "inputs"), x.shape, strict=True))
    args |= dict(zip(("x_step", "x_batch", "x_input"), source.strides, strict=True))
    args |= dict(zip(("y_step", "y_batch", "y_hidden"), (target.strides[0], *target.strides[2:]), strict=True))
    args |= {"held": desk.work(8 * hidden), "cell": desk.work(8 * hidden), "gates": desk.work(32 * hidden)}
    args |= {"x_bias": source.bias, "y_bias": target.bias}
    args |= {"zero_point": int(y.quant.zero_point), "low": int(y.quant.qmin), "high": int(y.quant.qmax)}
    kernel = Kernel(kernels.lstm, (source.kind, len(own.numbers), own.gate, own.step, own.state))
    desk.call_named(kernel, kernels.LSTM_ARGS, args)
    return True


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers; weights are known."""
    return emit_real_lstm(step, desk)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    return {"sigmoid": x.shape[0] * x.shape[1] * w.shape[0] * node.attrs["hidden"] * 5}
