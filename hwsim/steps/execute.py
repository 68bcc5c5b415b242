"""What a Program computes, bit for bit, by either of two executors: `reference` (NumPy, obviously right) or `numba` (compiled)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Tensor
from hwsim.ops._regrid import regrid
from hwsim.program import Program, Step
from hwsim.quant import Array
from hwsim.shelf import load

__all__ = ["ENGINES", "Execution", "check_feeds", "execute", "executor", "held_outputs", "run_step"]

ENGINES = ("numba", "reference")


@dataclass(frozen=True)
class Execution:
    """The tensors of one run (the network's outputs, or all of them) and the overflowed accumulations of each step."""

    tensors: Mapping[str, Array]
    overflowed: Mapping[str, int] = field(default_factory=dict)


def execute(program: Program, feeds: Mapping[str, Array], all_tensors: bool = False, engine: str = "numba") -> Execution:
    """Run a program once.  `feeds` gives every input of the network, stored numbers where the input is stored.

    Raises HwsimError for an unknown engine and for inputs that do not fit.
    """
    return executor(program, all_tensors, engine)(feeds)


def executor(program: Program, all_tensors: bool = False, engine: str = "numba") -> Callable[[Mapping[str, Array]], Execution]:
    """A program made ready once, to be run on many feeds, by several threads if need be.  Raises HwsimError for an unknown engine."""
    if engine not in ENGINES:
        raise HwsimError("engine", f"must be {' or '.join(ENGINES)}", repr(engine), suggest(engine, ENGINES))
    if engine == "reference":
        return lambda feeds: _execute_reference(program, feeds, all_tensors)
    from hwsim.steps.assemble import assemble

    assembly = assemble(program, all_tensors)
    return lambda feeds: assembly.run(feeds, all_tensors)


def _execute_reference(program: Program, feeds: Mapping[str, Array], all_tensors: bool) -> Execution:
    values = check_feeds(program, feeds)
    overflowed: dict[str, int] = {}
    last_use = {} if all_tensors else _last_uses(program)
    for index, step in enumerate(s for layer in program.layers for s in layer.steps):
        arrays, over = run_step(step, [_operand(t, values) for t in step.inputs])
        if over:
            overflowed[step.name] = over
        values.update(zip((t.name for t in step.outputs), arrays, strict=True))
        for name in [n for n in step.node.inputs if last_use.get(n) == index]:
            values.pop(name, None)
    return held_outputs(program, lambda t: values[t.name], all_tensors, overflowed)


def held_outputs(program: Program, value: Callable[[Tensor], Array], all_tensors: bool, overflowed: Mapping[str, int]) -> Execution:
    """The network's outputs, or every computed tensor, with constant outputs among them."""
    computed = (t.name for layer in program.layers for s in layer.steps for t in s.outputs)
    wanted = (*program.graph.inputs, *computed, *program.graph.outputs) if all_tensors else program.graph.outputs
    found = {}
    for name in dict.fromkeys(wanted):
        t = program.tensors[name]
        found[name] = t.constant.array if t.constant is not None else value(t)
    return Execution(found, dict(overflowed))


def _last_uses(program: Program) -> dict[str, int]:
    last: dict[str, int] = {}
    for index, step in enumerate(s for layer in program.layers for s in layer.steps):
        last.update(dict.fromkeys(step.node.inputs, index))
    return {t: i for t, i in last.items() if t not in program.graph.outputs}


def _operand(tensor: Tensor | None, values: Mapping[str, Array]) -> Array | None:
    if tensor is None:
        return None
    return tensor.constant.array if tensor.constant is not None else values[tensor.name]


def check_feeds(program: Program, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs in the dtypes that hwsim holds.  Raises HwsimError for missing, unknown or misshapen ones."""
    graph = program.graph
    for name in feeds:
        if name not in graph.inputs:
            raise HwsimError("inputs", f"must be among {', '.join(graph.inputs) or 'none'}", repr(name), suggest(name, graph.inputs))
    values = {}
    for name in graph.inputs:
        tensor = program.tensors[name]
        if name not in feeds:
            raise HwsimError("inputs", f"must give '{name}'", ", ".join(feeds) or "nothing")
        array = np.asarray(feeds[name])
        if array.shape != tensor.shape:
            raise HwsimError(f"input '{name}'", f"must have shape {tensor.shape}", array.shape)
        fmt = formats.get(tensor.format)
        if fmt.is_integer and array.dtype.kind == "f" and array.dtype.itemsize >= 2 and fmt.bits <= 32:
            raise HwsimError(f"input '{name}'", f"must hold {fmt.name} numbers", array.dtype)
        as_is = fmt.is_integer or (fmt.name == "float32" and array.dtype == np.float32)
        values[name] = array.astype(fmt.dtype, copy=False) if as_is else fmt.round(array, saturate=False)
    return values


def run_step(step: Step, arrays: list[Array | None]) -> tuple[tuple[Array, ...], int]:
    """The outputs of one step in NumPy, and how many accumulations overflowed."""
    module = load("ops", step.op)
    if step.integer and hasattr(module, "integer"):
        result = module.integer(step, *arrays)
        if hasattr(module, "loops"):
            return (_held(step.outputs[0], result[0]),), result[1]
        return _tuple(step, result), 0
    if step.integer:
        return _moved(step, _tuple(step, module.compute(step.node, *arrays))), 0
    reals = [a if t is None or t.quant is None or a is None else t.quant.dequantize(a) for t, a in zip(step.inputs, arrays, strict=True)]
    computed = getattr(module, "in_order", module.compute)(step.node, *reals)
    results = computed if isinstance(computed, tuple) else (computed,)
    return tuple(_held(t, r) if t.quant is None else t.quant.quantize(r) for t, r in zip(step.outputs, results, strict=False)), 0


def _moved(step: Step, results: tuple[Array, ...]) -> tuple[Array, ...]:
    """Moved stored numbers, requantized where the output has another grid."""
    source = step.inputs[0]
    assert source is not None and source.quant is not None
    q = source.quant
    return tuple(
        r if t.quant is None or t.quant.same_grid(q) else regrid(step, r, q, t.quant) for t, r in zip(step.outputs, results, strict=True)
    )


def _tuple(step: Step, result: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    results = result if isinstance(result, tuple) else (result,)
    return tuple(_held(t, r) for t, r in zip(step.outputs, results, strict=False))


def _held(tensor: Tensor, array: Array) -> Array:
    """An output on the grid of its format: real numbers narrower than float32 are rounded to theirs."""
    fmt = formats.get(tensor.format)
    if tensor.quant is None and not fmt.is_integer and fmt.name not in ("float32", "float64", "bool"):
        return fmt.round(array, saturate=False)
    return np.asarray(array, fmt.dtype)
