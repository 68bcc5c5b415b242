"""Arithmetics: how an integer accumulator becomes a stored output, each equal bit for bit to what its docstring names.

A file defines

* `BIAS`: `int32` when the bias enters the accumulator, `float32` when it is added after scaling;
* `MULTIPLIER`: what scales the accumulator (`int32`, `int16`, `int8`, `fp32`, `fp16`, or "" for a shift), which is what costs energy;
* `parameters(x_scale, w_scale, y_scale, bias)`: float64 arrays, one number per output channel each (every int32 and float32
  is a float64, so nothing is lost);
* `requantize(acc, p, zero_point, low, high)`: the stored output of an accumulator, p = what `parameters` gave.

`requantize` has no branches and uses only what NumPy means on arrays and Numba on scalars alike: the reference executor calls
it on arrays and the kernels compile the same function.  A file may also define functions named like an operator (`add`, `mul`,
`softmax`, ...) where its library has a formula of its own; the others are in `_default.py`.  With `REAL` (a format's name)
elementwise operators dequantize, compute in that format and quantize again.
"""
