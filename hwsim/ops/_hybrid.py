"""Hybrid operators of TFLite: real inputs in 127 steps of their largest magnitude, integer sums, scaled in float32.

tensorflow/lite/kernels conv.cc and fully_connected.cc, EvalHybrid; weights are real in the file's form and have `weight_steps` of one size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.graph import SourceNode
from hwsim.ops._reading import Reader, input_name

__all__ = ["emit_hybrid"]


def emit_hybrid(s: SourceNode, r: Reader, op: str, attrs: dict[str, Any]) -> bool:
    """Emit the operator so, when it has steps and its weights are whole numbers of them (they are no more once they were changed)."""
    step, w = np.float32(s.attrs.get("weight_steps", 0)), r.tensors[s.inputs[1]]
    if not step or w.constant is None or w.quant is not None:
        return False
    whole = np.rint(w.constant.array / step)
    if np.abs(whole).max(initial=0) > 128 or not np.array_equal((whole * step).astype(np.float32), w.constant.array):
        return False
    steps, scale, sums, real, factor = (r.fresh(f"{s.outputs[0]}.{n}") for n in ("steps", "scale", "sums", "real", "factor"))
    one = r.add_constant(np.asarray(step), f"{w.name}.step")
    r.emit(s, "dynamic_quantize", s.inputs[:1], {"symmetric": True}, (steps, scale), name=f"{s.name}.quantize")
    r.emit(s, op, (steps, r.add_constant(whole.astype(np.int8), f"{w.name}.steps")), attrs, (sums,))
    r.emit(s, "cast", (sums,), {"to": "float32", "saturate": True, "round_mode": "up"}, (real,), name=f"{s.name}.cast")
    r.emit(s, "binary", (scale, one), {"function": "mul"}, (factor,), name=f"{s.name}.scales")
    product = r.fresh(f"{s.outputs[0]}.product") if input_name(s, 2) else s.outputs[0]
    r.emit(s, "binary", (real, factor), {"function": "mul"}, (product,), name=f"{s.name}.scaled")
    if input_name(s, 2):
        bias = r.need(s, 2, "the bias").reshape(-1, *[1] * (len(r.shape(product)) - 2))
        r.emit(s, "binary", (product, r.add_constant(bias, f"{s.inputs[2]}.shaped")), {"function": "add"}, name=f"{s.name}.biased")
    return True
