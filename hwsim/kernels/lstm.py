"""Kernel of an integer LSTM: 8- or 16-bit inputs and state, 16-bit cell, gates looked up in tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels.code import Code
from hwsim.kernels.integers import Table
from hwsim.kernels.lanes import Lanes

__all__ = ["LSTM_ARGS", "lstm"]

LSTM_ARGS = (
    *("x", "y", "steps", "batch", "inputs", "hidden"),
    *("x_step", "x_batch", "x_input", "y_step", "y_batch", "y_hidden", "x_bias", "y_bias"),
    *("weights", "recurrent", "start", "multipliers", "logistic", "tanh", "cell_tanh", "numbers"),
    *("held", "cell", "gates", "zero_point", "low", "high"),
)


def lstm(kind: str, numbers: int, gate: Callable[..., Any], step: Callable[..., Any], state: Callable[..., Any]) -> str:
    """Kernel of LSTM_ARGS: `gate(product, state product, multipliers)`, `step(cell, i, f, g, numbers)`, `state(o, tanh of cell, numbers)`.

    Strides are elements.  Addresses: weights and recurrent weights (int16, rows i o f c), their start sums (int64, all of the first,
    then of the second), multipliers (float64, 4 x rows), the three tables (int16), so many numbers (int64); arena offsets of int64:
    state, cell and gates.
    """
    k = Code(LSTM_ARGS)
    rows = 4 * k["hidden"]
    tables = {n: Table(k, "i16", k[n]) for n in ("weights", "recurrent", "logistic", "tanh", "cell_tanh")}
    start, m, v = Table(k, "i64", k["start"]), Table(k, "f64", k["multipliers"]), Table(k, "i64", k["numbers"])
    p, size = [v[k.number("i64", i)] for i in range(numbers)], k.size(kind)
    held, cell, gates = (k.arena + k[n] for n in ("held", "cell", "gates"))

    def word(i: Lanes) -> Lanes:
        return k.load("i64", held + 8 * i)

    with k.loop(k["batch"]) as b:
        with k.loop(k["hidden"]) as i:
            k.store(k["zero_point"], held + 8 * i)
            k.store(k.number("i64", 0), cell + 8 * i)
        with k.loop(k["steps"]) as t:
            x, y = (k.arena + k[n] + size * (t * k[f"{n}_step"] + b * k[f"{n}_batch"]) for n in "xy")

            def entering(i: Lanes, x: Lanes = x) -> Lanes:
                return k.load(kind, x + size * i * k["x_input"]).to("i64") + k["x_bias"]

            with k.loop(rows) as row:
                own = _dot(k, start[row], tables["weights"], row, k["inputs"], entering)
                back = _dot(k, start[rows + row], tables["recurrent"], row, k["hidden"], word)
                place = gate(own, back, [m[j * rows + row] for j in range(4)]).to("i64") + 32768
                is_cell = row >= 3 * k["hidden"]
                k.store(is_cell.select(tables["tanh"][place], tables["logistic"][place]).to("i64"), gates + 8 * row)
            with k.loop(k["hidden"]) as i:
                gi, o, f, g = (k.load("i64", gates + 8 * (i + j * k["hidden"])) for j in range(4))
                new = step(k.load("i64", cell + 8 * i), gi, f, g, p).to("i64")
                k.store(new, cell + 8 * i)
                out = state(o, tables["cell_tanh"][new + 32768].to("i64"), p).to("i64").at_least(k["low"]).at_most(k["high"])
                k.store(out, held + 8 * i)
                k.store(out - k["y_bias"], y + size * i * k["y_hidden"], kind)
    return k.finished()


def _dot(k: Code, first: Lanes, weights: Table, row: Lanes, count: Lanes, value: Callable[[Lanes], Lanes]) -> Lanes:
    """first + the products of a row of weights with values."""
    total = k.variable(first)
    with k.loop(count) as i:
        total.set(total.get() + value(i) * weights[row * count + i].to("i64"))
    return total.get()
