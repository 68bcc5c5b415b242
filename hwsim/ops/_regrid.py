"""Stored numbers on another grid."""

from __future__ import annotations

import numpy as np

from hwsim.arithmetics import arithmetic_of
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

__all__ = ["regrid"]


def regrid(step: Step, q: Array, source: QuantParams, target: QuantParams, function: str = "") -> Array:
    """Stored numbers of `source` as those of `target`: as the step's arithmetic does it in this operator, else quantize(dequantize(q))."""
    arithmetic = arithmetic_of(step)
    own = getattr(arithmetic, "STORED", {}).get(function or step.op)
    if own is not None:
        return np.clip(own(q.astype(np.int64), source, target, {}), target.qmin, target.qmax).astype(target.format.dtype)
    store = getattr(arithmetic, "quantize", None)
    real = source.dequantize(q)
    return store(real, target) if store is not None and target.format.is_integer else target.quantize(real)
