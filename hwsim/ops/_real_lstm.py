"""An LSTM of float32 numbers as calls of kernels."""

from __future__ import annotations

import numpy as np

from hwsim.arithmetics import _lstm_cell, _mlas_activations
from hwsim.graph import Shape, Tensor
from hwsim.kernels import moving
from hwsim.kernels.compiling import Kernel, address
from hwsim.kernels.real_lstm import REAL_LSTM_ARGS, real_lstm
from hwsim.ops._lowering import ALIGN, Desk, Place, Source
from hwsim.ops._mac_plan import Axis, rows_of
from hwsim.ops._real_mac import RealMac, are_real, emit_real_tiles, known, widened
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["emit_real_lstm"]

NOTHING = np.zeros(1, np.float32)


def emit_real_lstm(step: Step, desk: Desk) -> bool:
    """Every direction; False where weights, biases or peepholes are computed."""
    x, w, r, b, h0, c0, p = (*step.inputs, *[None] * 7)[:7]
    fixed = [known(t) for t in (w, r, b, p)]
    computed = any(t is not None and a is None for t, a in zip((w, r, b, p), fixed, strict=True))
    if x is None or x.constant is not None or computed or not are_real(step.inputs):
        return False
    y, shape = desk.row_major(step.outputs[0]), (x.shape[1], step.node.attrs["hidden"])
    entering = widened(desk, desk.place(x), order=(0, 1, 2))
    for d in range(y.shape[1]):
        held, cell = (_state(desk, t, d, shape, kind) for t, kind in ((h0, "f64"), (c0, "f32")))
        _emit_direction(step, desk, d, entering, [None if a is None else a[d] for a in fixed], held, cell, y)
        for t, state in zip(step.outputs[1:], (held, cell), strict=False):
            assert desk.walk(moving.copy, shape, [desk.operand(state)], _direction(desk.operand(desk.place(t)), d))
    desk.reorder(y, desk.place(step.outputs[0]))
    return True


def _direction(source: Source, d: int) -> Source:
    """One of (directions, batch, hidden)."""
    return source.moved(d * source.strides[0]).reshaped(source.shape[1:], source.strides[1:])


def _scratch(desk: Desk, shape: Shape, kind: str) -> Place:
    """Scratch memory that a vector may pass the end of."""
    place = Place(0, kind, 0, shape, tuple(range(len(shape))))
    return place.at(desk.work(place.bytes + 2 * ALIGN))


def _state(desk: Desk, initial: Tensor | None, d: int, shape: Shape, kind: str) -> Place:
    """Memory for a state, with its first numbers there: zeros where none are given."""
    place = _scratch(desk, shape, kind)
    source = desk.numbers(NOTHING) if initial is None else _direction(desk.real(initial), d)
    assert desk.walk(moving.copy, shape, [source], desk.operand(place))
    return place


def _emit_direction(step: Step, desk: Desk, d: int, entering: Place, fixed: list[Array | None], held: Place, cell: Place, y: Place) -> None:
    """The product of all that enters, then step by step; `fixed` are weights, recurrent weights, biases and peepholes."""
    weights, recurrent, bias, peepholes = fixed
    assert weights is not None and recurrent is not None
    steps, (batch, hidden), a = entering.shape[0], held.shape, step.node.attrs
    x, product = _scratch(desk, (steps, batch, 4 * hidden), "f32"), _scratch(desk, (batch, 4 * hidden), "f32")
    _emit_product(step, desk, entering, weights, x)
    _emit_product(step, desk, held, recurrent, product)
    tile, tile_args = desk.calls.pop()  # which the kernel makes, step by step
    backward = a["direction"] == "reverse" or d == 1
    both = np.zeros(4 * hidden) if bias is None else bias[: 4 * hidden] + bias[4 * hidden :]
    own = np.zeros(3 * hidden) if peepholes is None else peepholes
    strides = desk.operand(y).strides
    args = {"steps": steps, "batch": batch, "hidden": hidden, "first": steps - 1 if backward else 0, "next": -1 if backward else 1}
    args |= {"x": x.offset, "product": product.offset, "held": held.offset, "cell": cell.offset}
    args |= {"y": y.offset + d * strides[1], "y_step": strides[0], "y_batch": strides[2]}
    args |= {"bias": desk.numbers(both).address, "peepholes": desk.numbers(own).address}
    args |= {"tile": address(tile), "tile_args": desk.keep(np.array(tile_args, np.int64))}
    functions = (_mlas_activations.sigmoid, _mlas_activations.tanh)
    kernel = Kernel(real_lstm, (_lstm_cell.cell, a["coupled"], float(np.float32(a.get("cell_clip") or 0)), *functions))
    desk.call_named(kernel, REAL_LSTM_ARGS, args)


def _emit_product(step: Step, desk: Desk, x: Place, weights: Array, y: Place) -> None:
    """Rows by rows of weights."""
    emit_real_tiles(RealMac(step, weights[None, :, None, None, :], Axis(), Axis(), rows_of(x), rows_of(y), NOTHING), desk)
