"""Kernel of one step of an integer SVDF: products over features, a state of past steps, products over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.dots import pairs
from hwsim.kernels.lanes import Lanes

__all__ = ["PANEL", "SVDF_ARGS", "svdf"]

SVDF_ARGS = (
    *("x", "y", "batch", "size", "filters", "steps", "units", "unit_words", "features", "start", "time", "added", "row", "column"),
    *("state", "state_absolute", "state_batch", "held"),
    *(of + n for of in ("state_", "time_") for n in ("m", "e", "zero", "low", "high", "bias")),
)
PANEL = 4  # vectors of filters at a time


def svdf(x_kind: str, kind: str, y_kind: str, scaled: Callable[..., Any]) -> str:
    """Kernel of SVDF_ARGS: `scaled(sums, (m, e))` brings sums to another grid.

    x, y, held: arena offsets of (batch, size), (batch, units) and of the state after the step (batch, filters x steps, of `kind`);
    state: where the one before lies, with the bytes from one image to the next.  Addresses: features ([panel][pairs of size][vectors of
    a panel][lanes][2], int16), start (a sum per filter, int32: the bias of x and its zero point), time (units x unit_words, int16, filled
    with zeros), added (units, int32).  row: scratch of `size` words; column: of filters or units numbers, up to whole panels.
    """
    k = Code(SVDF_ARGS)
    size, lanes, column = k.size(kind), host.lanes(), k.arena + k["column"]
    with k.loop(k["batch"]) as b:
        held = k.arena + k["held"] + size * b * k["filters"] * k["steps"]
        _newest(k, x_kind, b, scaled)
        past = k["state"] + (k["state_absolute"] == 0).select(k.arena, k.number("i64", 0)) + b * k["state_batch"]
        with k.loop(k["filters"] * k["steps"] - 1, step=2 * lanes) as i:
            k.store_first(k.load(kind, past + size * (i + 1), 2 * lanes), held + size * i, k["filters"] * k["steps"] - 1 - i)
        with k.loop(k["filters"]) as f:
            k.store(k.load("i32", column + 4 * f) - k["state_bias"].to("i32"), held + size * ((f + 1) * k["steps"] - 1), kind)
        with k.loop(k["units"]) as u:
            k.store(_over_time(k, kind, held, u), column + 4 * u)
        with k.loop(k["units"], step=lanes) as u:
            y = _on_grid(k, k.load("i32", column + 4 * u, lanes), scaled, "time_") - k["time_bias"].to("i32")
            k.store_first(y, k.arena + k["y"] + k.size(y_kind) * (b * k["units"] + u), k["units"] - u, y_kind)
    return k.finished()


def _on_grid(k: Code, sums: Lanes, scaled: Callable[..., Any], of: str) -> Lanes:
    zero, low, high = (k[of + n].to("i32") for n in ("zero", "low", "high"))
    value: Lanes = scaled(sums, (k[of + "m"], k[of + "e"])).to("i32") + zero
    return value.at_least(low).at_most(high)


def _newest(k: Code, kind: str, b: Lanes, scaled: Callable[..., Any]) -> None:
    """The newest column of the state, as int32 in scratch memory, panel by panel."""
    lanes, row = host.lanes(), k.arena + k["row"]
    with k.loop(k["size"], step=lanes) as i:
        k.store(k.load(kind, k.arena + k["x"] + k.size(kind) * (b * k["size"] + i), lanes).to("i16"), row + 2 * i)
    with k.loop(k["filters"], step=PANEL * lanes) as f:
        totals = [k.variable(k.load("i32", k["start"] + 4 * (f + lanes * j), lanes)) for j in range(PANEL)]
        weights = k["features"] + 2 * f * (k["size"] + (k["size"] & 1))
        with k.loop(k["size"], step=2) as i:
            two = k.load("i32", row + 2 * i).spread(lanes).bits("i16")
            for j, total in enumerate(totals):
                total.set(pairs(total.get(), two, k.load("i16", weights + 2 * lanes * (PANEL * i + 2 * j), 2 * lanes)))
        for j, total in enumerate(totals):
            k.store(_on_grid(k, total.get(), scaled, "state_"), k.arena + k["column"] + 4 * (f + lanes * j))


def _over_time(k: Code, kind: str, held: Lanes, u: Lanes) -> Lanes:
    """The sum of a unit: its bias, and its filters' products over time, which lie side by side."""
    lanes, first = host.lanes(), u * (k["filters"] // k["units"]) * k["steps"]
    total = k.variable(k.number("i32", 0, lanes))
    with k.loop(k["unit_words"], step=2 * lanes) as i:
        numbers = (k.load(kind, held + k.size(kind) * (first + i), 2 * lanes).to("i32") + k["state_bias"].to("i32")).to("i16")
        total.set(pairs(total.get(), numbers, k.load("i16", k["time"] + 2 * (u * k["unit_words"] + i), 2 * lanes)))
    return total.get().reduce("add") + k.load("i32", k["added"] + 4 * u)
