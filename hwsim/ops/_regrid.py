"""Stored numbers on another grid."""

from __future__ import annotations

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = ["regrid", "stored"]


def regrid(step: Step, q: Array, source: QuantParams, target: QuantParams, function: str = "") -> Array:
    """Stored numbers of `source` as those of `target`: as the step's arithmetic does it in this operator, else quantize(dequantize(q))."""
    own = getattr(arithmetic_of(step), "STORED", {}).get(function or step.op)
    if own is not None:
        return np.clip(own(q.astype(np.int64), source, target, {}), target.qmin, target.qmax).astype(target.format.dtype)
    return stored(step, source.dequantize(q), target)


def stored(step: Step, real: Array, target: QuantParams) -> Array:
    """Real numbers stored as the step's arithmetic stores them, ONNX's QuantizeLinear where it has no way of its own."""
    own = getattr(arithmetic_of(step), "QUANTIZE", None)
    if own is None or not target.format.is_integer:
        return target.quantize(real)
    number, zero = (target.spread(v, real.shape) for v in (own[0](target.scale), target.zero_point))
    with np.errstate(all="ignore"):
        return own[1](real.astype(np.float32), number, zero, int(target.qmin), int(target.qmax)).astype(target.format.dtype)
