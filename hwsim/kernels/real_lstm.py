"""Kernel of a float32 LSTM: what enters is multiplied beforehand, the state by the micro-kernel, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["REAL_LSTM_ARGS", "real_lstm"]

REAL_LSTM_ARGS = (
    *("steps", "batch", "hidden", "first", "next"),
    *("x", "product", "held", "cell", "y", "y_step", "y_batch"),
    *("bias", "peepholes", "tile", "tile_args"),
)


def real_lstm(cell: Callable[..., Any], coupled: str, clip: float, sigmoid: Callable[..., Any], tanh: Callable[..., Any]) -> str:
    """Kernel of REAL_LSTM_ARGS: `cell` of the gates (i, o, f, g; x + product + bias, added in this order) for `steps` steps, of which
    the `first` is followed by those `next` further.

    Arena offsets: x (steps, batch, 4 hidden), product (batch, 4 hidden) and cell (batch, hidden) of float32, held (batch, hidden) of
    float64, y of float32 with strides in bytes.  Addresses: bias (4 hidden) and peepholes (3 hidden) of float32, the micro-kernel that
    makes product of held, its arguments.  All are readable to a whole vector behind their end.
    """
    k = Code(REAL_LSTM_ARGS)
    lanes, hidden = host.lanes(), k["hidden"]
    x, product, held, cells, y = (k.arena + k[n] for n in ("x", "product", "held", "cell", "y"))
    with k.loop(k["steps"]) as step:
        t = k["first"] + step * k["next"]
        k.call(k["tile"], k["tile_args"], k.arena)
        with k.loop(k["batch"]) as b, k.loop(hidden, step=lanes) as i:
            state, gates = b * hidden + i, []
            for j in range(4):
                own = i + j * hidden
                place = b * hidden * 4 + own
                entering = k.load("f32", x + 4 * (t * k["batch"] * hidden * 4 + place), lanes)
                gates.append(entering + k.load("f32", product + 4 * place, lanes) + k.load("f32", k["bias"] + 4 * own, lanes))
            p = [k.load("f32", k["peepholes"] + 4 * (i + j * hidden), lanes) for j in range(3)]
            h, c = cell(gates, k.load("f32", cells + 4 * state, lanes), p, coupled, clip, sigmoid, tanh)
            k.store_first(c, cells + 4 * state, hidden - i)
            k.store_first(h, held + 8 * state, hidden - i, "f64")
            k.store_first(h, y + t * k["y_step"] + b * k["y_batch"] + 4 * i, hidden - i)
    return k.finished()
