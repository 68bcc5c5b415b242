"""FINN's MultiThreshold: how many thresholds of its channel a number reaches, scaled and shifted.

Any monotone chain of batch normalization, activation and quantizer behind an accumulator is such a function (Umuroglu and Jahre,
"Streamlined Deployment for Quantized Neural Networks", 2017).  Equals `qonnx.custom_op.general.multithreshold`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._qonnx import emit_stored, narrowest, reads_of
from hwsim.ops._reading import Reader
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array, QuantParams

LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}


def _read(s: SourceNode, r: Reader) -> None:
    x, thresholds = r.ranked(s, 0, 2), r.need(s, 1, "the thresholds")
    layout = str(s.attrs.get("data_layout", "")) or LAYOUTS.get(len(x), "NC")
    axis = layout.index("C") if "C" in layout else 1
    if axis >= len(x) or thresholds.ndim != 2 or thresholds.shape[0] not in (1, x[axis]):
        raise HwsimError(s.where, f"the thresholds must be {(x[min(axis, len(x) - 1)], 'any')} or (1, 'any')", f"shape {thresholds.shape}")
    if np.isnan(thresholds).any():
        raise HwsimError(s.where, "the thresholds must be numbers", "nan")
    s.attrs["out_dtype"]  # what the levels are called changes no number
    scale, bias = (np.float32(s.attrs.get(k, d)) for k, d in (("out_scale", 1.0), ("out_bias", 0.0)))
    attrs = {"thresholds": thresholds.astype(np.float32), "axis": axis, "scale": scale, "bias": bias}
    levels = stored_levels(thresholds.shape[1], float(scale), float(bias))
    if levels is None:
        r.emit(s, "multi_threshold", s.inputs[:1], attrs)
    else:
        emit_stored(s, r, "multi_threshold", levels, attrs)


READS = reads_of(MultiThreshold=_read)


def stored_levels(count: int, scale: float, bias: float) -> QuantParams | None:
    """The grid of scale n + bias for n = 0 to count: bipolar, or integers; None where 0 is not a multiple of half a step away."""
    if scale <= 0 or count < 1 or 2 * bias % scale:
        return None
    step = scale if bias % scale == 0 else scale / 2
    low, high = int(bias / step), int(bias / step) + int(count * scale / step)
    fmt = "bipolar" if (low, high, step) == (-1, 1, scale / 2) else narrowest(low, high)
    return QuantParams(formats.get(fmt), np.asarray(step, np.float32), np.asarray(0, np.int64), qmin=low, qmax=high)


def write(node: Node, operands: Operands) -> Written:
    """QONNX's own operator; its levels are counts, or what they become."""
    a, x = node.attrs, operands[0]
    assert x is not None
    layout = [c for c in "NHW" if c != "H" or len(x.shape) > 3][: len(x.shape) - 1]
    layout.insert(a["axis"], "C")
    levels = stored_levels(a["thresholds"].shape[1], float(a["scale"]), float(a["bias"]))
    kind = "FLOAT32" if levels is None or levels.scale != 1 else levels.format.name.upper()
    attrs = {"out_dtype": kind, "out_scale": float(a["scale"]), "out_bias": float(a["bias"]), "data_layout": "".join(layout)}
    return Written("qonnx.custom_op.general.MultiThreshold", (*node.inputs, a["thresholds"]), attrs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, "float32")]


def compute(node: Node, x: Array) -> Array:
    a, moved = node.attrs, np.moveaxis(x, node.attrs["axis"], -1)
    count = sum((moved >= t).astype(np.float32) for t in a["thresholds"].T)
    return np.ascontiguousarray(np.moveaxis(a["scale"] * np.asarray(count, np.float32) + a["bias"], -1, a["axis"]))


def integer(step: Step, x: Array) -> Array:
    """On stored or real numbers."""
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None
    y = compute(step.node, x if source.quant is None else source.quant.dequantize(x))
    return y if target is None else target.quantize(y)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """One comparison per threshold."""
    return {"compare": outputs[0].elements * node.attrs["thresholds"].shape[1]}
