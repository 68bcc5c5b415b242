"""Kernel of one step of an integer SVDF: products over features, a state of past steps, products over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.dots import pairs
from hwsim.kernels.lanes import Lanes

__all__ = ["SVDF_ARGS", "svdf"]

SVDF_ARGS = (
    *("x", "y", "batch", "size", "filters", "steps", "units", "unit_words", "bias", "low", "high", "zero"),
    *("features", "start", "time", "added", "m", "e", "time_m", "time_e"),
    *("state", "state_absolute", "state_batch", "held", "state_bias", "state_low", "state_high", "state_zero", "row", "column"),
)


def svdf(x_kind: str, kind: str, y_kind: str, scaled: Callable[..., Any]) -> str:
    """Kernel of SVDF_ARGS: `scaled(sums, (m, e))` brings sums to another grid.

    x, y, held: arena offsets of (batch, size), (batch, units) and of the state after the step (batch, filters x steps, of `kind`);
    state: where the one before lies, with the bytes from one image to the next.  Addresses: features ([pairs of size][filters up to
    whole vectors][2], int16), start (a sum per filter, int32: the bias of x and its zero point), time (units x unit_words, int16,
    filled with zeros), added (units, int32).  row, column: scratch of `size` and `filters` numbers up to whole vectors.
    """
    k = Code(SVDF_ARGS)
    size, lanes = k.size(kind), host.lanes()
    with k.loop(k["batch"]) as b:
        held = k.arena + k["held"] + size * b * k["filters"] * k["steps"]
        _column(k, x_kind, b, scaled)
        past = k["state"] + (k["state_absolute"] == 0).select(k.arena, k.number("i64", 0)) + b * k["state_batch"]
        with k.loop(k["filters"] * k["steps"] - 1, step=lanes) as i:
            k.store_first(k.load(kind, past + size * (i + 1), lanes), held + size * i, k["filters"] * k["steps"] - 1 - i)
        with k.loop(k["filters"]) as f:
            newest = k.load("i32", k.arena + k["column"] + 4 * f) - k["state_bias"].to("i32")
            k.store(newest, held + size * ((f + 1) * k["steps"] - 1), kind)
        with k.loop(k["units"]) as u:
            y = scaled(_over_time(k, kind, held, u), (k["time_m"], k["time_e"])).to("i32") + k["zero"].to("i32")
            bounded = y.at_least(k["low"].to("i32")).at_most(k["high"].to("i32")) - k["bias"].to("i32")
            k.store(bounded, k.arena + k["y"] + k.size(y_kind) * (b * k["units"] + u), y_kind)
    return k.finished()


def _column(k: Code, kind: str, b: Lanes, scaled: Callable[..., Any]) -> None:
    """The newest column of the state, as int32 in scratch memory."""
    lanes, row = host.lanes(), k.arena + k["row"]
    across = (k["filters"] + lanes - 1) // lanes * lanes
    with k.loop(k["size"], step=lanes) as i:
        k.store(k.load(kind, k.arena + k["x"] + k.size(kind) * (b * k["size"] + i), lanes).to("i16"), row + 2 * i)
    with k.loop(k["filters"], step=lanes) as f:
        total = k.variable(k.load("i32", k["start"] + 4 * f, lanes))
        with k.loop(k["size"], step=2) as i:
            two = k.load("i32", row + 2 * i).spread(lanes).bits("i16")
            total.set(pairs(total.get(), two, k.load("i16", k["features"] + 2 * (i * across + 2 * f), 2 * lanes)))
        newest = scaled(total.get(), (k["m"], k["e"])).to("i32") + k["state_zero"].to("i32")
        k.store(newest.at_least(k["state_low"].to("i32")).at_most(k["state_high"].to("i32")), k.arena + k["column"] + 4 * f)


def _over_time(k: Code, kind: str, held: Lanes, u: Lanes) -> Lanes:
    """The sum of a unit: its bias, and its filters' products over time, which lie side by side."""
    lanes, first = host.lanes(), u * (k["filters"] // k["units"]) * k["steps"]
    total = k.variable(k.number("i32", 0, lanes))
    with k.loop(k["unit_words"], step=2 * lanes) as i:
        numbers = (k.load(kind, held + k.size(kind) * (first + i), 2 * lanes).to("i32") + k["state_bias"].to("i32")).to("i16")
        total.set(pairs(total.get(), numbers, k.load("i16", k["time"] + 2 * (u * k["unit_words"] + i), 2 * lanes)))
    return total.get().reduce("add") + k.load("i32", k["added"] + 4 * u)
