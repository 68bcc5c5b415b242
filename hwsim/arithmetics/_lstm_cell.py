"""The cell of an LSTM on real numbers (ONNX LSTM: Hochreiter and Schmidhuber with peepholes), on arrays and on the lanes of a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hwsim.kernels.numbers import between

__all__ = ["cell"]

Function = Callable[[Any], Any]


def cell(gates: Sequence[Any], c: Any, p: Sequence[Any], coupled: str, clip: float, sigmoid: Function, tanh: Function) -> tuple[Any, Any]:
    """The new hidden state and cell of gates i, o, f, g before their functions, the cell and peepholes i, o, f.

    `coupled` is the gate that is one minus the other one ("": none), `clip` what bounds the cell (0: nothing).
    """
    i, o, f, g = gates
    enter, forget = sigmoid(i + p[0] * c), sigmoid(f + p[2] * c)
    enter, forget = {"": (enter, forget), "input": (1 - forget, forget), "forget": (enter, 1 - enter)}[coupled]
    c = forget * c + enter * tanh(g)
    if clip:
        c = between(c, -clip, clip)
    return sigmoid(o + p[1] * c) * tanh(c), c
