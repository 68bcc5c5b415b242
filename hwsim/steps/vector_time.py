"""What a layer asks of the vector unit, and how long that takes: elements by operation at the unit's rates."""

from __future__ import annotations

from collections.abc import Iterable

from hwsim import formats
from hwsim.arch import Vector
from hwsim.program import Layer, Step
from hwsim.shelf import load
from hwsim.steps.step import is_mac

__all__ = ["step_work", "vector_cycles"]


def step_work(step: Step) -> dict[str, int]:
    """Elementary vector operations of one step by name: its own, or requantization on the way out of an array."""
    module = load("ops", step.op)
    if is_mac(step.op):
        return {"requantize": step.outputs[0].elements}
    if hasattr(module, "work"):
        return {name: int(count) for name, count in module.work(step.node, step.inputs, step.outputs).items()}
    return {"copy": sum(t.elements for t in step.outputs)}


def vector_cycles(unit: Vector, clock_hz: float, layer: Layer, unpacked: int, own_outputs: bool) -> float:
    """Cycles of the vector unit for a layer: its steps' operations, and `unpacked` weights widened on their way in.

    `own_outputs`: the array requantizes by itself.
    """
    steps = layer.steps[1:] if own_outputs else layer.steps
    busy = sum(_cycles(unit, clock_hz, step, step_work(step).items()) for step in steps)
    return (busy + _cycles(unit, clock_hz, layer.steps[-1], [("unpack", unpacked)])) / unit.efficiency


def _cycles(unit: Vector, clock_hz: float, step: Step, work: Iterable[tuple[str, int]]) -> float:
    factor = unit.rescale if _changes_scale(step) else 1.0
    return sum(factor * count / _rate(unit, name, clock_hz, step) for name, count in work)


def _changes_scale(step: Step) -> bool:
    """Whether an integer step other than a product or a sum writes another grid than it reads."""
    x, y = step.inputs[0], step.outputs[0]
    if not step.integer or is_mac(step.op) or step.op in ("binary", "quantize", "dequantize"):
        return False
    return x is not None and x.quant is not None and y.quant is not None and not x.quant.same_grid(y.quant)


def _rate(unit: Vector, name: str, clock_hz: float, step: Step) -> float:
    """Elements per cycle of one vector operation at the width of the step's data."""
    per_cycle: float = unit.rates.get(name, unit.rates["default"]).per_cycle(clock_hz)
    tensor = step.outputs[0]
    if tensor.format.startswith(("float", "bfloat")) and not step.integer:
        return per_cycle * max(unit.real, 1e-9)
    return per_cycle * (unit.wide if formats.get(tensor.format).bits > 8 and name != "requantize" else 1.0)
