"""Convolution in any number of dimensions, with groups, dilation and any padding: dense, grouped and depthwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.ops._hybrid import emit_hybrid
from hwsim.ops._lowering import Desk, Place
from hwsim.ops._mac import accumulate, epilogue, finish
from hwsim.ops._mac_kernel import emit_mac
from hwsim.ops._mac_plan import Axis, Mac, plane_of
from hwsim.ops._plain_integers import as_stored
from hwsim.ops._reading import Reader, accumulator_bias, check_shape, check_zeros, input_name
from hwsim.ops._real_mac import are_real, emit_real_conv, known
from hwsim.ops._real_sums import real_matmul
from hwsim.ops._windows import resolve_pads, take_windows, window_attrs, window_of
from hwsim.ops._writing import Operands, Written
from hwsim.program import LoopNest, Step
from hwsim.quant import Array

ANY_FORMAT = True


def _attrs(s: SourceNode, r: Reader, x: str, w: str) -> dict[str, object]:
    shape, weights = r.ranked(s, 0, 3), r.shape(w)
    group = int(s.attrs.get("group", 1))
    if len(weights) != len(shape):
        raise HwsimError(s.where, f"the weights must have {counted(len(shape), 'dimension')} like the input", len(weights))
    if group < 1 or shape[1] != weights[1] * group or weights[0] % group or min(weights) < 1:
        wanted = f"must match {counted(shape[1], 'input channel')} in {counted(group, 'group')}"
        raise HwsimError(s.where, f"the weights {wanted}", f"shape {weights}")
    kernel = tuple(int(k) for k in s.attrs.get("kernel_shape", weights[2:]))
    if kernel != weights[2:]:
        raise HwsimError(s.where, f"kernel_shape must be the weights' {weights[2:]}", kernel)
    return {**resolve_pads(s, kernel, shape[2:]), "group": group}


def _read(s: SourceNode, r: Reader) -> None:
    attrs = _attrs(s, r, s.inputs[0], s.inputs[1])
    check_shape(s, r, 2, r.shape(s.inputs[1])[:1], "the bias")
    if not emit_hybrid(s, r, "conv", attrs):
        r.emit(s, "conv", s.inputs, attrs)


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    x, w = r.quantized(s, 0, 1, 2), r.quantized(s, 3, 4, 5, axis=0)
    y, attrs = r.params(s, x, 6, 7, fmt=r.stored_format(s, 7, x)), _attrs(s, r, x, w)
    r.emit(s, "conv", (x, w, accumulator_bias(s, r, 8, x, w, 0)), attrs, quants=[y])


def _read_integer(s: SourceNode, r: Reader) -> None:
    """ConvInteger: zero points are ordinary inputs, the output is the int32 accumulator."""
    x, w, zero = s.inputs[0], s.inputs[1], input_name(s, 2)
    attrs = _attrs(s, r, x, w)
    check_zeros(s, r, 2, 1)
    check_zeros(s, r, 3, r.shape(w)[0])
    if zero and r.shape(zero):
        zero = r.fresh(f"{zero}.scalar")
        r.emit(s, "reshape", (s.inputs[2],), {"shape": ()}, (zero,), name=f"{s.name}.zero")
    r.emit(s, "conv", (x, w, "", zero, input_name(s, 3)), attrs)


READS = {"Conv": _read, "QLinearConv": _read_qlinear, "ConvInteger": _read_integer, "com.microsoft.QLinearConv": _read_qlinear}


def write(node: Node, operands: Operands) -> Written:
    """With zero points of its own it is a ConvInteger."""
    attrs = {**window_attrs(node), "group": node.attrs["group"]}
    x = operands[0]
    if x is not None and x.quant is None and x.format in ("int8", "uint8"):
        return Written("ConvInteger", (*node.inputs[:2], *node.inputs[3:]), attrs)
    return Written("Conv", node.inputs[:3], attrs)


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    shape = (x.shape[0], w.shape[0], *window_of(node.attrs).output(x.shape[2:]))
    raw_integers = x.quant is None and x.format in ("int8", "uint8")
    return [(shape, "int32" if raw_integers else x.format if x.quant is None else "float32")]


def loops(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> LoopNest:
    w, y = inputs[1], outputs[0]
    assert w is not None
    group = node.attrs["group"]
    spatial, kernel = (*y.shape[2:], 1, 1), (*w.shape[2:], 1, 1)
    if len(y.shape) > 4:
        spatial, kernel = (int(np.prod(y.shape[2:-1])), y.shape[-1]), (int(np.prod(w.shape[2:-1])), w.shape[-1])
    elif len(y.shape) == 3:
        spatial, kernel = (1, y.shape[2]), (1, w.shape[2])
    return LoopNest(y.shape[0], group, w.shape[0] // group, w.shape[1], spatial[0], spatial[1], kernel[0], kernel[1])


def rows(x: Array, node: Node, group: int, fill: int | float) -> Array:
    """The products' left operands of one group: (positions, K) with K in the order kernel, then channel."""
    channels = x.shape[1] // node.attrs["group"]
    part = take_windows(x[:, group * channels : (group + 1) * channels], window_of(node.attrs), fill)
    rank = x.ndim - 2
    return np.moveaxis(part, 1, -1).reshape(-1, int(np.prod(part.shape[2 + rank :])) * channels)


def columns(w: Array, groups: int, group: int) -> Array:
    """The right operands of one group: (outputs, K), in the same order as `rows`."""
    n = w.shape[0] // groups
    return np.moveaxis(w[group * n : (group + 1) * n], 1, -1).reshape(n, -1)


def _output(parts: list[Array], x: Array, w: Array, node: Node) -> Array:
    size = window_of(node.attrs).output(x.shape[2:])
    return np.moveaxis(np.concatenate(parts, -1).reshape(x.shape[0], *size, w.shape[0]), -1, 1)


def compute(
    node: Node,
    x: Array,
    w: Array,
    bias: Array | None = None,
    x_zero: Array | None = None,
    w_zero: Array | None = None,
    product: Callable[[Array, Array], Array] = np.matmul,
) -> Array:
    """Real numbers in BLAS's order, or by a product of matrices of their own."""
    groups = node.attrs["group"]
    if x.dtype.kind in "iu":
        zero = 0 if x_zero is None else int(x_zero)
        w = w.astype(np.int64) - (0 if w_zero is None else w_zero.astype(np.int64).reshape(-1, *[1] * (w.ndim - 1)))
        parts = [(rows(x.astype(np.int64), node, g, zero) - zero) @ columns(w, groups, g).T for g in range(groups)]
        return np.ascontiguousarray(_output(parts, x, w, node)).astype(np.int32)
    parts = [product(rows(x, node, g, 0), columns(w, groups, g).T) for g in range(groups)] if groups == 1 or groups < x.shape[1] else []
    y = _output(parts, x, w, node) if parts else _by_taps(node, x, w)
    return np.ascontiguousarray(y if bias is None else y + bias.reshape(-1, *[1] * (x.ndim - 2)))


in_order = partial(compute, product=real_matmul)


def _by_taps(node: Node, x: Array, w: Array) -> Array:
    """Depthwise, in the order of the kernel's cells: the sums of LiteRT's float reference kernel, rounding by rounding."""
    windows = take_windows(np.repeat(x, w.shape[0] // x.shape[1], 1), window_of(node.attrs), 0)
    size = windows.shape[2 : x.ndim]
    total = np.zeros((x.shape[0], w.shape[0], *size), x.dtype)
    for tap in np.ndindex(*w.shape[2:]):
        total += windows[(..., *tap)] * w[(slice(None), 0, *tap)].reshape(-1, *[1] * len(size))
    return total


def integer(step: Step, x: Array, w: Array, bias: Array | None = None) -> tuple[Array, int]:
    node, groups = step.node, step.node.attrs["group"]
    e = epilogue(step, w.shape[0])
    xq, wq = (t.quant for t in step.inputs[:2] if t is not None)
    assert xq is not None and wq is not None
    n = w.shape[0] // groups
    w_zero = np.broadcast_to(wq.zero_point, w.shape[0])
    sums, overflowed = [], 0
    for g in range(groups):
        own = slice(g * n, (g + 1) * n)
        total, over = accumulate(
            rows(x, node, g, int(xq.zero_point)), columns(w, groups, g), e.bias[own], int(xq.zero_point), w_zero[own], step.accumulator
        )
        sums.append(total)
        overflowed += over
    y = finish(step, np.concatenate(sums, -1), e)
    return np.ascontiguousarray(_output([y], x, w, node)), overflowed


def kernel(step: Step, desk: Desk) -> bool:
    """One or two spatial dimensions; constant weights only."""
    x = step.inputs[0]
    assert x is not None
    return len(x.shape) <= 4 and _emit(step, desk, desk.place(x))


def _emit(step: Step, desk: Desk, source: Place) -> bool:
    w, y = step.inputs[1], step.outputs[0]
    if w is None or w.constant is None:
        return False
    weights = stored_weights(w.constant.array, step.node.attrs["group"])
    return emit_mac(Mac(step, weights, *axes(step.node), plane_of(source), plane_of(desk.place(y))), desk)


def real(step: Step, desk: Desk) -> bool:
    """Products of plain integers, with the border that a stored image would have, and of real numbers."""
    stored, x, weights = as_stored(step, 0), step.inputs[0], known(step.inputs[1])
    if x is None or len(x.shape) > 4 or weights is None:
        return False
    if stored is None:
        window, wide = axes(step.node), stored_weights(weights, step.node.attrs["group"])
        return are_real(step.inputs) and emit_real_conv(step, desk, wide, window, halo_of(step, window))
    q = stored.inputs[0].quant if stored.inputs[0] else None
    assert q is not None
    source = desk.surrounded(desk.place(x), halo(stored), int(q.zero_point))
    return _emit(stored, desk, source)


def stored_weights(w: Array, groups: int) -> Array:
    """Weights as (groups, outputs, kernel rows, kernel columns, channels)."""
    flat = w if w.ndim == 4 else w[:, :, None]
    return np.moveaxis(flat.reshape(groups, -1, *flat.shape[1:]), 2, -1)


def axes(node: Node) -> tuple[Axis, Axis]:
    """The window along rows and columns."""
    a = node.attrs
    rows, columns = zip(two(a["kernel"], 1), two(a["strides"], 1), two(a["dilations"], 1), two(a["before"], 0), strict=True)
    return Axis(*rows), Axis(*columns)


def halo(step: Step) -> tuple[tuple[int, int], ...]:
    """Cells of zero point that the kernel reads before and after the input, along its axes."""
    return halo_of(step, axes(step.node))


def halo_of(step: Step, window: tuple[Axis, Axis]) -> tuple[tuple[int, int], ...]:
    """The same for given axes of one or two spatial dimensions."""
    x, y = step.inputs[0], step.outputs[0]
    assert x is not None
    spatial = len(x.shape) - 2
    return ((0, 0), (0, 0), *(a.halo(n, o) for a, n, o in zip(window[-spatial:], x.shape[2:], y.shape[2:], strict=False)))[: len(x.shape)]


def two(values: Sequence[int], missing: int) -> tuple[int, int]:
    """The last two of one or more numbers, rows and columns."""
    rows, columns = (missing, *values)[-2:]
    return rows, columns
