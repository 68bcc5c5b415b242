"""A Program compiled to a table of kernel calls on one arena; what no kernel does is left to NumPy, in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwsim.graph import Tensor
from hwsim.kernels.compiling import Kernel, address, entry
from hwsim.kernels.memory import ALIGN, Memory
from hwsim.kernels.table import run_table
from hwsim.ops._lowering import Desk
from hwsim.ops._tables import emit_moves
from hwsim.program import Program, Step
from hwsim.shelf import load
from hwsim.steps.arena import plan_arena
from hwsim.steps.assembly import Assembly, Segment
from hwsim.steps.settle import settled
from hwsim.steps.step import is_mac

__all__ = ["assemble"]


def assemble(program: Program, all_tensors: bool = False) -> Assembly:
    """Places for all tensors, then every step as kernel calls where its operator has them.

    A tensor's memory is used again once nothing reads it, unless `all_tensors` are wanted.
    """
    program, steps = settled(program)
    places, counter_base = plan_arena(program, steps, all_tensors)
    scratch_base = counter_base + -(-8 * max(len(steps), 1) // ALIGN) * ALIGN
    desk = Desk(places, counter_base=counter_base, scratch_base=scratch_base, memory=Memory(_weights(steps)))
    segments: list[Segment] = []
    for name in program.graph.inputs:
        _emit_halo(program.tensors[name], desk)
    for step in steps:
        before, desk.used = len(desk.calls), 0
        if not _emit(step, desk):
            del desk.calls[before:]
            _flush(desk, segments)
            segments.append(Segment(step=step))
        for t in step.outputs:
            _emit_halo(t, desk)
    _flush(desk, segments)
    total = scratch_base + -(-desk.scratch // ALIGN) * ALIGN + ALIGN
    return Assembly(replace(program), places, segments, desk.counters, counter_base, total, desk.constants)


def _weights(steps: Sequence[Step]) -> int:
    """About how many bytes packed weights take: one each, of real products a float64."""
    of_macs = [(t, s) for s in steps if is_mac(s.op) for t in s.inputs[:2] if t is not None and t.constant is not None]
    return sum(t.elements * (1 if t.quant is not None and s.integer else 8) for t, s in of_macs)


def _emit(step: Step, desk: Desk) -> bool:
    """Whether kernels take the step."""
    module = load("ops", step.op)
    named = [t for t in (*step.inputs, *step.outputs) if t is not None and t.constant is None]
    known = all(t is None or t.constant is not None for t in step.inputs)
    if known or any(t.name not in desk.places for t in named):
        return False
    name = "kernel" if step.integer else "real"
    if not step.integer and not getattr(module, "ANY_FORMAT", False) and any(t.format != "float32" for t in named):
        return False
    if hasattr(module, name):
        return bool(getattr(module, name)(step, desk))
    return getattr(module, "MOVES", False) and not hasattr(module, "kernel") and emit_moves(step, desk, module.compute)


def _emit_halo(tensor: Tensor, desk: Desk) -> None:
    """Zero points around an image that is written."""
    place = desk.places.get(tensor.name)
    if place is None or not any(map(any, place.halo)) or tensor.quant is None:
        return
    desk.surround(place, int(tensor.quant.zero_point))


def _flush(desk: Desk, segments: list[Segment]) -> None:
    """Close the calls collected so far as one table."""
    if not desk.calls:
        return
    rows = np.array([(address(kernel), desk.keep(np.array(args, np.int64))) for kernel, args in desk.calls], np.int64)
    segments.append(Segment(entry(Kernel(run_table)), desk.keep(np.array([len(rows), desk.keep(rows)], np.int64))))
    desk.calls.clear()
