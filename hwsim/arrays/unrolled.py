"""Multipliers in lockstep: each step runs so many rounds of each loop side by side; edges that do not fill the array count in full.

One fetch of each operand a step, except for the operand that the dataflow keeps in the multipliers' registers while others stream.
"""

from __future__ import annotations

from math import ceil, prod

from hwsim.arrays._shape import WEIGHT_LOOPS, fetched_inputs, loops_of, trips_of
from hwsim.mac_array import LOOPS, MacArray, Unroll
from hwsim.mapping import Work
from hwsim.program import Layer, mac_kind

__all__ = ["work"]

# the operand that stays, and the loops over which it does
HELD = {"weight_stationary": ("weights", ("N", "OY", "OX")), "input_stationary": ("inputs", ("K",)), "row_stationary": ("weights", ("OX",))}


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """The unrolling that needs the fewest cycles."""
    found = [_steps(layer, u) for u in array.modes(mac_kind(layer.steps[0]), loops_of(layer).C)]
    cycles, steps, unroll = min(found, key=lambda f: f[0])
    slots = steps * array.multipliers
    return Work(unroll.loops, {"multiply": cycles}, slots, slots, _reads(array, layer, unroll.loops), {"outputs": _outputs(layer)})


def _steps(layer: Layer, u: Unroll) -> tuple[int, int, Unroll]:
    steps = prod(trips_of(loops_of(layer), u.loops).values())
    return ceil(steps / (layer.rate * u.rate)), steps, u


def _outputs(layer: Layer) -> int:
    loops = loops_of(layer)
    return loops.N * loops.G * loops.K * loops.OY * loops.OX


def _reads(array: MacArray, layer: Layer, spread: dict[str, int]) -> dict[str, int]:
    trips = trips_of(loops_of(layer), spread)
    width = {d: min(spread.get(d, 1), loops_of(layer).size(d)) for d in LOOPS}
    steps = prod(trips.values())
    held, over = HELD.get(array.dataflow, ("", ()))
    elements = {"weights": prod(width[d] for d in WEIGHT_LOOPS), "inputs": fetched_inputs(layer, width)}
    return {o: n * (steps // prod(trips[d] for d in over) if o == held else steps) for o, n in elements.items()}
