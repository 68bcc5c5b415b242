"""Multipliers in lockstep: each step runs so many rounds of each loop side by side; edges that do not fill the array count in full.

One fetch of each operand a step, except for the operand that the dataflow keeps in the multipliers' registers while others stream.
"""

from __future__ import annotations

from math import ceil, prod

from hwsim.arrays._shape import WEIGHT_LOOPS, fetched_inputs, loops_of, product, trips_of
from hwsim.mac_array import LOOPS, MacArray, Unroll
from hwsim.mapping import Work
from hwsim.program import Layer, mac_kind

__all__ = ["work"]

# the operand that stays, and the loops over which it does
HELD = {"weight_stationary": ("weights", ("N", "OY", "OX")), "input_stationary": ("inputs", ("K",)), "row_stationary": ("weights", ("OX",))}


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """The unrolling that needs the fewest cycles."""
    return options(array, layer, clock_hz)[0]


def options(array: MacArray, layer: Layer, clock_hz: float) -> list[Work]:
    """Every unrolling, the fastest first."""
    found = [_unrolled(array, layer, u) for u in array.modes(mac_kind(layer.steps[0]), loops_of(layer).C, product(layer).m)]
    return sorted(found, key=lambda w: w.cycles)


def _unrolled(array: MacArray, layer: Layer, u: Unroll) -> Work:
    steps = prod(trips_of(loops_of(layer), u.loops).values())
    cycles, slots = ceil(steps / (layer.rate * u.rate)), steps * array.multipliers
    return Work(u.loops, {"multiply": cycles}, slots, slots, _reads(array, layer, u.loops), {"outputs": _outputs(layer)})


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
