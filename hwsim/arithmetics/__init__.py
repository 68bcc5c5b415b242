"""Arithmetics: how an integer accumulator becomes a stored output, each equal bit for bit to what its docstring names.

A file defines

* `BIAS`: `int32` when the bias enters the accumulator, `float32` when it is added after scaling;
* `MULTIPLIER`: what scales the accumulator (`int32`, `int16`, `int8`, `fp32`, `fp16`, or "" for a shift), which is what costs energy;
* `parameters(x_scale, w_scale, y_scale, bias)`: float64 arrays, one number per output channel each (every int32 and float32
  is a float64, so nothing is lost);
* `PARAMETERS`: how kernels store each of them (`f32`, `i32`, `i64`, `f64`);
* `requantize(acc, p, zero_point, low, high)`: the stored output of an accumulator, p = what `parameters` gave.

`requantize` has no branches and is written with the conversions of `kernels.numbers`, Python's operators and NumPy's `minimum`,
`maximum`, `rint`, `trunc`, `abs`, `copysign`: on arrays it computes, on the lanes of a kernel it writes vector code, so that one
definition is the reference and the way out fused into every kernel.  Where its library has formulas of its own a file may also
define `BINARY` (function of two stored numbers -> its parameters and the function), `UNLIMITED` (the same before its limits, and for
which parameters int32 holds that for bytes), `STORED` (function of one stored number -> a function on arrays), `QUANTIZE` (a function of
the scale, and with it the function that stores a real number), `REQUANTIZE` (the multiplier and exponent of two grids, and with them the
function that takes a wide stored number, less its zero point, to the other one), `softmax` and others that the operators look for; what
all others do is in `_default.py`.  With `REAL` (a format's name) elementwise operators dequantize,
compute in that format and quantize again.

A library whose operators round differently also has `variant(step)`, the arithmetic that a step follows, and
`accumulator_bits(step)`, how wide its accumulator is.
"""

from __future__ import annotations

from types import ModuleType

from hwsim.program import Step
from hwsim.shelf import load

__all__ = ["arithmetic_of"]


def arithmetic_of(step: Step) -> ModuleType:
    """The arithmetic of a step: a library that rounds differently from operator to operator has a variant for each."""
    module = load("arithmetics", step.arithmetic)
    return module.variant(step) if hasattr(module, "variant") else module
