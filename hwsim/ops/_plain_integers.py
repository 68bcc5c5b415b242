"""Products of plain integers (ConvInteger, MatMulInteger, hybrid operators) for the kernels of stored ones: their output is the sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.graph import Tensor
from hwsim.program import Accumulator, Step
from hwsim.quant import QuantParams

__all__ = ["as_stored"]


def as_stored(step: Step, channel_axis: int) -> Step | None:
    """The step on stored numbers of scale 1, of which a shift by nothing leaves the sums as they are.

    Its inputs are x, w, none, and the zero points of both.  None for real numbers, and for zero points that are computed, or more than
    one per channel of w.
    """
    x, w, *_ = step.inputs
    zeros = [t if t is None else t.constant for t in (*step.inputs[3:5], None, None)[:2]]
    computed = any(t is not None and t.constant is None for t in step.inputs[3:5])
    if x is None or w is None or x.quant is not None or x.format not in ("int8", "uint8") or computed:
        return None
    x_zero, w_zero = (np.zeros((), np.int64) if c is None else np.squeeze(c.array).astype(np.int64) for c in zeros)
    if x_zero.ndim or w_zero.ndim > 1:
        return None
    inputs = (_unit(x, x_zero), _unit(w, w_zero, channel_axis if w_zero.ndim else None))
    y = _unit(step.outputs[0], np.zeros((), np.int64))
    return replace(step, inputs=inputs, outputs=(y,), integer=True, arithmetic="shift_truncate", accumulator=Accumulator())


def _unit(t: Tensor, zero: Any, axis: int | None = None) -> Tensor:
    return replace(t, quant=QuantParams(formats.get(t.format), np.ones(zero.shape, np.float32), zero, axis))
