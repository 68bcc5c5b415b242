"""CMSIS-NN's LSTM cells (arm_lstm_unidirectional_s8 and _s16): a 16-bit cell, gates through interpolated tables (arm_nn_activation_s16).

The multipliers are those of the stored scales: f m^(c) and i m^(g) are each requantized with two roundings (arm_elementwise_mul_s16).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics._litert_activations import logistic16, tanh16
from hwsim.arithmetics._litert_lstm import Cell
from hwsim.arithmetics._rounding import clamp, quantized_multiplier, wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.arithmetics.gemmlowp_int64 import reduced
from hwsim.quant import QuantParams

__all__ = ["lstm"]

f64 = np.float64
GATE, UNIT = 2.0**-12, 2.0**-15
STEPS = 3  # of a table that has 24 a unit, with 9 bits more; a gate's unit is 4096


def lstm(
    x: QuantParams,
    w: QuantParams,
    r: QuantParams,
    y: QuantParams,
    cell_scale: float,
    hidden: tuple[float, int],
    clip: float,
    coupled: bool,
    entering: float = 0.0,
) -> Cell:
    """The constants of a cell whose weights have one scale per row; `entering` is the real multiplier of input gate times cell gate."""
    products = [f64(q.scale) * f64(s.scale) / GATE for q, s in ((w, x), (r, y))]
    multipliers = np.stack([v for real in products for v in quantized_multiplier(real)]).astype(f64)
    raw, power = np.arange(-32768, 32768, dtype=np.int64), round(float(np.log2(cell_scale)))
    into = quantized_multiplier(entering or UNIT * UNIT / cell_scale)
    out = quantized_multiplier(UNIT / f64(hidden[0]) * UNIT)
    bound = int(min(clip / cell_scale, 32767)) if clip > 0 else 32767
    numbers = (*(int(v) for v in into), *(int(v) for v in out), hidden[1], bound, int(coupled))
    tables = logistic16(raw * STEPS), tanh16(raw * STEPS), tanh16(_places(raw, 15 + power - 3))
    return Cell(multipliers, *tables, numbers, _gate64 if x.bits > 8 else _gate, _new_cell, _new_state)


def _places(cell: Any, left: int) -> Any:
    """A cell in steps of the table, rounded half up where its grid is finer."""
    return cell * STEPS << left if left >= 0 else (cell * STEPS + (1 << (-left - 1))) >> -left


def _gate(product: Any, state: Any, m: Any) -> Any:
    own = clamp(scaled(wrap32(product), (m[0], m[1])), -32768, 32767)
    return clamp(scaled(wrap32(state), (m[2], m[3])) + own, -32768, 32767)


def _gate64(product: Any, state: Any, m: Any) -> Any:
    own = clamp(reduced(product, (m[0], m[1])), -32768, 32767)
    return clamp(reduced(state, (m[2], m[3])) + own, -32768, 32767)


def _new_cell(c: Any, i: Any, f: Any, g: Any, p: Any) -> Any:
    kept = clamp(scaled(f * c, (1 << 30, -14)), -32768, 32767)
    return clamp(kept + scaled((i + p[6] * (32767 - f - i)) * g, (p[0], p[1])), -p[5] - 1, p[5])


def _new_state(o: Any, t: Any, p: Any) -> Any:
    return scaled(o * t, (p[2], p[3])) + p[4]
