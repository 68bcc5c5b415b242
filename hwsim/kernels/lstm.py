"""Kernel of an integer LSTM: 8-bit inputs and state, 16-bit cell, gates looked up in tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["lstm"]


def lstm(gate: Callable[..., Any], step: Callable[..., Any], state: Callable[..., Any]) -> Any:
    """Kernel: `gate(product, state product, multipliers)`, `step(cell, i, f, g, numbers)` and `state(o, tanh of cell, numbers)`.

    args: x, y, steps, batch, inputs, hidden; strides of x over steps, batch and inputs, of y over steps, batch and hidden;
    biases of x and y as held; addresses of weights and recurrent weights (int16, rows i o f c), of their start sums (int64, two per
    row), of multipliers (float64, 4 x rows), of the three tables (int16), of six numbers (int64); scratch for state and cell (int64)
    and for gates (int64); zero point of y, low, high.
    """
    from hwsim.kernels import raw

    u8, i16, i64, f64 = raw.u8, raw.i16, raw.i64, raw.f64

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 28)
        steps, batch, inputs, hidden = a[2], a[3], a[4], a[5]
        rows = 4 * hidden
        x = u8(arena + a[0], (steps - 1) * a[6] + (batch - 1) * a[7] + (inputs - 1) * a[8] + 1)
        y = u8(arena + a[1], (steps - 1) * a[9] + (batch - 1) * a[10] + (hidden - 1) * a[11] + 1)
        w, r, start, m = i16(a[14], rows * inputs), i16(a[15], rows * hidden), i64(a[16], 2 * rows), f64(a[17], 4 * rows)
        logistic, tanh, cell_tanh, v = i16(a[18], 65536), i16(a[19], 65536), i16(a[20], 65536), i64(a[21], 6)
        p = (v[0], v[1], v[2], v[3], v[4], v[5])
        held, cell, gates = i64(arena + a[22], hidden), i64(arena + a[23], hidden), i64(arena + a[24], rows)
        for b in range(batch):
            for k in range(hidden):
                held[k], cell[k] = a[25], 0
            for t in range(steps):
                for row in range(rows):
                    own, back = start[row], start[rows + row]
                    for i in range(inputs):
                        own += (np.int64(x[t * a[6] + b * a[7] + i * a[8]]) + a[12]) * w[row * inputs + i]
                    for i in range(hidden):
                        back += held[i] * r[row * hidden + i]
                    place = np.int64(gate(own, back, (m[row], m[rows + row], m[2 * rows + row], m[3 * rows + row]))) + 32768
                    gates[row] = tanh[place] if row >= 3 * hidden else logistic[place]
                for k in range(hidden):
                    i, o, f, g = gates[k], gates[hidden + k], gates[2 * hidden + k], gates[3 * hidden + k]
                    cell[k] = step(cell[k], i, f, g, p)
                    held[k] = min(max(np.int64(state(o, np.int64(cell_tanh[cell[k] + 32768]), p)), a[26]), a[27])
                    y[t * a[9] + b * a[10] + k * a[11]] = held[k] - a[13]

    return kernel
