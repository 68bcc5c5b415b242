"""Steps on constants alone, done once for all runs."""

from __future__ import annotations

from dataclasses import replace

from hwsim.graph import Constant, Tensor
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.steps.execute import run_step

__all__ = ["settled"]


def settled(program: Program) -> tuple[Program, list[Step]]:
    """The steps that depend on the inputs, and the program with what the others give as constants.

    A step whose accumulations overflow stays, since every run counts them.
    """
    known: dict[str, Tensor] = {}
    left = []
    for step in (s for layer in program.layers for s in layer.steps):
        own = replace(step, inputs=tuple(t if t is None else known.get(t.name, t) for t in step.inputs))
        arrays = _arrays(own)
        if arrays is None:
            left.append(own)
        else:
            known |= {t.name: replace(t, constant=Constant.of(a, t.name)) for t, a in zip(own.outputs, arrays, strict=False)}
    return replace(program, tensors={**program.tensors, **known}), left


def _arrays(step: Step) -> tuple[Array, ...] | None:
    """What a step makes of constants, None where it reads more or overflows."""
    if any(t is not None and t.constant is None for t in step.inputs):
        return None
    arrays, over = run_step(step, [None if t is None or t.constant is None else t.constant.array for t in step.inputs])
    return None if over else arrays
