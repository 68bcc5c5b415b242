"""LiteRT's reference UNIDIRECTIONAL_SEQUENCE_LSTM on int8 with a 16-bit cell, as Keras' post-training quantization makes it
(tensorflow/lite/kernels/lstm_eval.cc, LstmStepInteger8x8_16), without peepholes, projection or layer normalization.

Gates are Q3.12 sums of two requantized products, looked up in 16-bit tables of gemmlowp's logistic and tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.arithmetics._fixed_point import Q16
from hwsim.arithmetics._litert_pairs import multiplier
from hwsim.arithmetics._rounding import clamp, quantized_multiplier, rdbp, wrap32
from hwsim.arithmetics.gemmlowp import scaled
from hwsim.quant import Array, QuantParams

__all__ = ["Cell", "gate", "lstm", "new_cell", "new_state"]

f32, f64 = np.float32, np.float64
GATE = f32(2.0**-12)


@dataclass(frozen=True)
class Cell:
    """One cell's constants.  `multipliers` (4, rows): m and e of the input's and of the state's products; tables by stored number + 2^15.

    `numbers`: shift of the new cell's term, m and e of the output, its zero point, the bound of the cell (32767: none), whether the
    input gate is one minus the forget gate.
    """

    multipliers: Array
    logistic: Array
    tanh: Array
    cell_tanh: Array
    numbers: tuple[int, ...]
    gate: Callable[..., Any]
    step: Callable[..., Any]
    state: Callable[..., Any]


def lstm(
    x: QuantParams, w: QuantParams, r: QuantParams, y: QuantParams, cell_scale: float, hidden: tuple[float, int], clip: float, coupled: bool
) -> Cell:
    """The constants of a cell whose weights have one scale per row; `hidden` is the scale and zero point in front of the output."""
    products = [(f32(q.scale * s.scale) / GATE).astype(f32) for q, s in ((w, x), (r, y))]
    multipliers = np.stack([v for real in products for v in quantized_multiplier(real)]).astype(f64)
    raw, log = np.arange(-32768, 32768, dtype=np.int64), round(float(np.log2(cell_scale)))
    m, e = multiplier(f32(2.0**-15 / f64(hidden[0]) * 2.0**-15))
    bound = int(min(float(f32(clip) / f32(cell_scale)), 32767)) if clip > 0 else 32767
    numbers = (30 + log, int(m), int(e), hidden[1], bound, int(coupled))
    tables = Q16.logistic(raw, 3), Q16.tanh(raw, 3), Q16.tanh(raw, 15 + log)
    return Cell(multipliers, *tables, numbers, gate, new_cell, new_state)


def gate(product: Any, state: Any, m: Any) -> Any:
    """The 16-bit sum of both products' requantized sums (int32)."""
    own = clamp(scaled(wrap32(product), (m[0], m[1])), -32768, 32767)
    return clamp(scaled(wrap32(state), (m[2], m[3])) + own, -32768, 32767)


def new_cell(c: Any, i: Any, f: Any, g: Any, p: Any) -> Any:
    """The new cell: forget and input gate, each product rounded, a saturating sum, the bound."""
    entering = i + p[5] * (32767 - f - i)
    kept, new = rdbp(f * c, 15), rdbp(entering * g, p[0])
    total = clamp(kept + ((new + 32768) & 65535) - 32768, -32768, 32767)
    return clamp(total, -32768 + (p[4] < 32767) * (32768 - p[4]), p[4])


def new_state(o: Any, t: Any, p: Any) -> Any:
    """The new state: output gate times the cell's tanh."""
    return scaled(o * t, (p[1], p[2])) + p[3]
