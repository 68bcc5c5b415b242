"""Mean over windows, and over all positions (global); channels may come last in ONNX Runtime's quantized form."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arithmetics import _default, arithmetic_of
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import pool
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk, float_bits
from hwsim.ops._mac import Epilogue, bounds
from hwsim.ops._mac_plan import way_out
from hwsim.ops._reading import Reader
from hwsim.ops._windows import resolve_pads, take_windows, window_attrs, window_of
from hwsim.ops._writing import Operands, Written
from hwsim.ops.max_pool import pool_arguments
from hwsim.program import Step
from hwsim.quant import Array


def _attrs(s: SourceNode, size: Shape, kernel: list[int]) -> dict[str, Any]:
    attrs = resolve_pads(s, kernel, size)
    pads = [int(v) for v in s.attrs.get("pads", [0] * 2 * len(kernel))]
    inside = tuple(pads[len(kernel) :]) if s.attrs.get("auto_pad", "NOTSET") == "NOTSET" else attrs["after"]
    return {**attrs, "count_pad": bool(s.attrs.get("count_include_pad", 0)), "counted_after": inside, "global": False}


def _global(s: SourceNode, size: Shape) -> dict[str, Any]:
    plain = SourceNode(s.kind, s.name, s.inputs, s.outputs, {}, s.opset)
    return {**_attrs(plain, size, list(size)), "global": True}


def _read(s: SourceNode, r: Reader) -> None:
    r.emit(s, "average_pool", s.inputs, _attrs(s, r.shape(s.inputs[0])[2:], [int(k) for k in s.attrs["kernel_shape"]]))


def _read_global(s: SourceNode, r: Reader) -> None:
    r.emit(s, "average_pool", s.inputs, _global(s, r.shape(s.inputs[0])[2:]))


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    """QLinearAveragePool and QLinearGlobalAveragePool; `channels_last` becomes transposes around the node."""
    everything = "Global" in s.kind
    x = r.quantized(s, 0, 1, 2)
    rank, last = len(r.ranked(s, 0, 3)), bool(s.attrs.get("channels_last", 0))
    y = r.params(s, x, 3, 4, fmt=r.tensors[x].format)
    source, target = x, s.outputs[0]
    if last:
        source, target = r.fresh(f"{x}.nchw"), r.fresh(f"{s.outputs[0]}.nchw")
        r.emit(s, "transpose", (x,), {"perm": (0, rank - 1, *range(1, rank - 1))}, (source,), [r.tensors[x].quant], f"{s.name}.in")
    size = r.shape(source)[2:]
    attrs = _global(s, size) if everything else _attrs(s, size, [int(k) for k in s.attrs["kernel_shape"]])
    r.emit(s, "average_pool", (source,), attrs, (target,), [y])
    if last:
        r.emit(s, "transpose", (target,), {"perm": (0, *range(2, rank), 1)}, s.outputs, [y], f"{s.name}.out")


READS = {
    "AveragePool": _read,
    "GlobalAveragePool": _read_global,
    "com.microsoft.QLinearAveragePool": _read_qlinear,
    "com.microsoft.QLinearGlobalAveragePool": _read_qlinear,
}


def write(node: Node, operands: Operands) -> Written:
    """Windows that reach beyond the counted padding are those of `ceil_mode`."""
    if node.attrs["global"]:
        return Written("GlobalAveragePool", node.inputs)
    inside, reach = node.attrs["counted_after"], node.attrs["after"]
    ceil = int(any(r > i for r, i in zip(reach, inside, strict=True)))
    attrs = {**window_attrs(node, inside), "count_include_pad": int(node.attrs["count_pad"]), "ceil_mode": ceil}
    return Written("AveragePool", node.inputs, attrs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x = inputs[0]
    assert x is not None
    return [((*x.shape[:2], *window_of(node.attrs).output(x.shape[2:])), x.format if x.quant is None else "float32")]


def counts(node: Node, size: Shape) -> Array:
    """How many cells each output position divides by, in the shape of the spatial output."""
    a = node.attrs
    cells = np.ones((1, 1, *size), np.int64)
    if a["count_pad"]:
        pads = [(0, 0), (0, 0), *zip(a["before"], a["counted_after"], strict=True)]
        counted = np.pad(cells, pads, constant_values=1)
        extra = [(0, 0), (0, 0), *((0, max(t - c, 0)) for t, c in zip(a["after"], a["counted_after"], strict=True))]
        cells = np.pad(counted, extra)
        a = {**a, "before": (0,) * len(size), "after": (0,) * len(size)}
    windows = take_windows(cells, window_of(a), 0)
    total: Array = windows.sum(tuple(range(2 + len(size), 2 + 2 * len(size))))[0, 0]
    return total


def _spatial(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim, 2 * x.ndim - 2))


def compute(node: Node, x: Array) -> Array:
    """Sums one after the other, row by row."""
    windows = take_windows(x, window_of(node.attrs), 0)
    total = np.add.accumulate(windows.reshape(*windows.shape[: x.ndim], -1), -1)[..., -1] + 0
    return (total / counts(node, x.shape[2:]).astype(x.dtype)).astype(x.dtype)


def integer(step: Step, x: Array) -> Array:
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    arithmetic, node = arithmetic_of(step), step.node
    low, high = bounds(step)
    if hasattr(arithmetic, "REAL"):
        return np.clip(target.quantize(compute(node, source.quant.dequantize(x))), low, high).astype(target.format.dtype)
    if getattr(arithmetic, "AVERAGE_POOL", "") == "float32" and not node.attrs["global"]:
        return _in_float32(step, x, low, high)
    zero, count = int(source.quant.zero_point), counts(node, x.shape[2:])
    total = (take_windows(x.astype(np.int64), window_of(node.attrs), zero) - zero).sum(_spatial(x))
    return arithmetic.requantize(total, _requantization(step, count), int(target.zero_point), low, high).astype(target.format.dtype)


def _requantization(step: Step, count: Array) -> tuple[Array, ...]:
    """The arithmetic's parameters for sums of `count` stored numbers, per output position."""
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    arithmetic, x = arithmetic_of(step), source.quant
    scale_of = getattr(arithmetic, "average_scale", _default.average_scale)
    ratio = np.vectorize(lambda n: scale_of(x, target, int(n)), otypes=[np.float64])(count)
    parameters: tuple[Array, ...] = arithmetic.parameters(ratio, np.float32(1), np.float32(1))
    return parameters


def _in_float32(step: Step, x: Array, low: int, high: int) -> Array:
    """ONNX Runtime: the average of the dequantized window / scale + zero point."""
    f32, node = np.float32, step.node
    source, target = step.inputs[0], step.outputs[0].quant
    assert source is not None and source.quant is not None and target is not None
    average = compute(node, source.quant.dequantize(x))
    v = np.rint((average / f32(target.scale)).astype(f32) + f32(target.zero_point))
    return np.clip(v, low, high).astype(target.format.dtype)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {"add": outputs[0].elements * int(np.prod(node.attrs["kernel"])), "requantize": outputs[0].elements}


def kernel(step: Step, desk: Desk) -> bool:
    """Two spatial dimensions at most."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    arithmetic = arithmetic_of(step)
    if x.quant is None or y.quant is None or len(x.shape) > 4 or hasattr(arithmetic, "REAL"):
        return False
    source, target, (low, high) = desk.place(x), desk.place(y), bounds(step)
    count = counts(step.node, x.shape[2:])
    args = {**pool_arguments(step.node, source, target), "x_zero": int(x.quant.zero_point) - source.bias}
    if getattr(arithmetic, "AVERAGE_POOL", "") == "float32" and not step.node.attrs["global"]:
        scales = {"x_scale": float_bits(x.quant.scale), "y_scale": float_bits(y.quant.scale), "y_zero": float_bits(y.quant.zero_point)}
        ends = {"counts": desk.keep(count.astype(np.float32)), "low": low, "high": high, "y_bias": target.bias}
        desk.call_named(Kernel(pool.average_float32, (source.kind,)), pool.FLOAT_ARGS, {**args, **scales, **ends})
        return True
    e = Epilogue(arithmetic, np.zeros(0), _requantization(step, count.ravel()), int(y.quant.zero_point), low, high, False)
    way, way_args = way_out(desk, e, target.kind, target.bias, 1)
    desk.call_named(Kernel(pool.average, (source.kind, way)), pool.AVERAGE_ARGS, {**args, **way_args})
    return True


def real(step: Step, desk: Desk) -> bool:
    """Float32 numbers."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    if len(x.shape) > 4:
        return False
    count = counts(step.node, x.shape[2:]).astype(np.float32)
    args = {**pool_arguments(step.node, desk.place(x), desk.place(y)), "counts": desk.keep(count)}
    desk.call_named(Kernel(pool.average_real), pool.REAL_ARGS, args)
    return True
