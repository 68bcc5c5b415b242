"""LSTM, one or two directions, with peepholes, cell clipping and coupled gates left out where ONNX makes them optional."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._reading import Reader, check_shape, choice, input_name
from hwsim.ops.unary import FUNCTIONS
from hwsim.program import LoopNest
from hwsim.quant import Array


def _read(s: SourceNode, r: Reader) -> None:
    direction = choice(s, "direction", ("forward", "reverse", "bidirectional"), "forward")
    directions = 2 if direction == "bidirectional" else 1
    named = [a.lower() for a in s.attrs.get("activations", ["Sigmoid", "Tanh", "Tanh"] * directions)]
    unsupported = [k for k in ("clip", "layout", "input_forget") if s.attrs.get(k)] + (["sequence_lens"] if input_name(s, 4) else [])
    if unsupported or named != ["sigmoid", "tanh", "tanh"] * directions:
        raise HwsimError(s.where, "must use sigmoid and tanh gates over whole sequences", f"{', '.join(unsupported) or named}")
    inputs = [input_name(s, i) for i in (0, 1, 2, 3, 5, 6, 7)]
    r.emit(s, "lstm", inputs, {"hidden": _hidden(s, r, directions), "direction": direction})


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
) -> tuple[Array, Array, Array]:
    """Gates in ONNX's order i, o, f, c; x is (steps, batch, input)."""
    hidden, sequences, last_h, last_c = node.attrs["hidden"], [], [], []
    for d in range(w.shape[0]):
        backward = node.attrs["direction"] == "reverse" or d == 1
        h = np.zeros((x.shape[1], hidden), x.dtype) if h0 is None else h0[d]
        c = np.zeros((x.shape[1], hidden), x.dtype) if c0 is None else c0[d]
        bias = 0 if b is None else b[d, : 4 * hidden] + b[d, 4 * hidden :]
        p = np.zeros(3 * hidden, x.dtype) if peephole is None else peephole[d]
        outputs = []
        for t in range(x.shape[0])[:: -1 if backward else 1]:
            h, c = _cell(x[t] @ w[d].T + h @ r[d].T + bias, c, p.reshape(3, hidden))
            outputs.append(h)
        sequences.append(np.stack(outputs[:: -1 if backward else 1]))
        last_h.append(h)
        last_c.append(c)
    return np.stack(sequences, 1), np.stack(last_h), np.stack(last_c)


def _cell(gates: Array, c: Array, peephole: Array) -> tuple[Array, Array]:
    sigmoid = FUNCTIONS["sigmoid"]
    i, o, f, g = np.split(gates, 4, -1)
    c = sigmoid(f + peephole[2] * c) * c + sigmoid(i + peephole[0] * c) * np.tanh(g)
    return sigmoid(o + peephole[1] * c) * np.tanh(c), c


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    return {"sigmoid": x.shape[0] * x.shape[1] * w.shape[0] * node.attrs["hidden"] * 5}
