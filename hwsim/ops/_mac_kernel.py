"""How convolutions and matrix products become calls of the MAC kernels."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import finishing, mac
from hwsim.kernels.compiling import Kernel, address
from hwsim.ops._lowering import WIDTHS, Desk, Place
from hwsim.ops._mac import Epilogue, epilogue
from hwsim.program import Step
from hwsim.quant import Array

__all__ = ["emit_conv", "emit_product", "finishing_of"]


def emit_conv(
    step: Step,
    desk: Desk,
    weights: Array,
    groups: int,
    window: dict[str, tuple[int, int]],
    x: Place,
    y: Place,
    geometry: tuple[int, ...],
    out: tuple[int, ...],
) -> bool:
    """One convolution.  `weights` are stored numbers (groups, outputs, kernel rows, columns, channels of a group); `geometry` is
    images, rows, columns and channels of the input, `out` the output's rows and columns."""
    xq, wq = (t.quant for t in step.inputs[:2] if t is not None)
    assert xq is not None and wq is not None
    _, outputs, _, _, channels = weights.shape
    total = groups * outputs
    e = epilogue(step, total)
    w_zero = np.broadcast_to(wq.zero_point, total).astype(np.int64)
    images, rows, columns, all_channels = geometry
    x_zero, a = int(xq.zero_point), step.accumulator
    args = dict.fromkeys(mac.ARGS, 0) | {
        "x": x.offset,
        "y": y.offset,
        "images": images,
        "in_rows": rows,
        "in_columns": columns,
        "channels": channels,
        "x_image": rows * columns * all_channels,
        "x_row": columns * all_channels,
        "x_pixel": all_channels,
        "out_rows": out[0],
        "out_columns": out[1],
        "outputs": outputs,
        "groups": groups,
        "y_image": out[0] * out[1] * total,
        "y_row": out[1] * total,
        "y_pixel": total,
        "kernel_rows": weights.shape[2],
        "kernel_columns": weights.shape[3],
        "x_zero": x_zero - x.bias,
        "x_bias": x.bias,
        "y_size": WIDTHS[y.kind],
        "bits": a.bits,
        "saturate": int(a.overflow == "saturate"),
        "tile": {"mac": 1, "pair": 2, "tile": a.tile}[a.every],
    }
    for name in ("stride", "dilation", "pad", "up"):
        args[f"{name}_row"], args[f"{name}_column"] = window[name]
    if not a.any_order and not (a.every == "mac" and _cannot_overflow(e, weights, w_zero, x, x_zero, a.bits)):
        return _emit_steps(step, desk, weights, w_zero, x_zero, e, args, x, y)
    removed = weights.astype(np.int64) - w_zero.reshape(groups, outputs, 1, 1, 1)
    safe = _cannot_overflow(e, weights, w_zero, x, x_zero, min(a.bits, 32))
    wide = not safe
    args |= {
        "start": desk.keep(e.bias.astype(np.int64 if wide else np.int32)),
        "sums": desk.work(8 * total),
        "overflowed": desk.counter(step) if wide else desk.work(8 * total),
        **finishing_of(desk, e, y, total, "i64" if wide else "i32"),
    }
    if outputs == channels == 1 and window["up"] == (1, 1):
        args["weights"] = desk.keep(removed[:, 0, :, :, 0].transpose(1, 2, 0).astype(np.int16))
        desk.call(Kernel(mac.depthwise, (x.kind, wide)), [args[k] for k in mac.ARGS])
    else:
        args["weights"] = desk.keep(removed.transpose(0, 2, 3, 4, 1).astype(np.int16))
        desk.call(Kernel(mac.conv, (x.kind, wide)), [args[k] for k in mac.ARGS])
    return True


def finishing_of(desk: Desk, e: Epilogue, y: Place, channels: int, sums: str) -> dict[str, int]:
    """The finishing kernel of an epilogue and its arguments, as addresses."""
    parameters = np.zeros((3, channels))
    for row, values in zip(parameters, e.parameters, strict=False):
        row[:] = values
    args = np.array([desk.keep(parameters), channels, e.zero_point, e.low, e.high, 0 if e.real else y.bias], np.int64)
    kernel = Kernel(finishing.real, (sums,), 5) if e.real else Kernel(finishing.requantized, (e.arithmetic.requantize, sums, y.kind), 5)
    return {"finish": address(kernel), "finish_args": desk.keep(args)}


def _cannot_overflow(e: Epilogue, weights: Array, w_zero: Array, x: Place, x_zero: int, bits: int) -> bool:
    """Whether no partial sum in any order can leave `bits` bits: the sum of all magnitudes stays inside."""
    low, high = (x.bias, x.bias + 255) if x.kind == "u8" else (x.bias - 32768, x.bias + 32767)
    most = max(high - x_zero, x_zero - low)
    removed = np.abs(weights.astype(np.float64) - w_zero.reshape(*weights.shape[:2], 1, 1, 1)).sum((2, 3, 4)).ravel()
    return bool(np.all(removed * most + np.abs(e.bias) < 2.0 ** (bits - 1)))


def _emit_steps(
    step: Step, desk: Desk, weights: Array, w_zero: Array, x_zero: int, e: Epilogue, args: dict[str, int], x: Place, y: Place
) -> bool:
    """The accumulator cut step by step, in kernel order."""
    a, (groups, outputs) = step.accumulator, weights.shape[:2]
    folded = a.zero_points == "folded"
    wide = weights.astype(np.int64)
    if folded:
        depth = int(np.prod(weights.shape[2:]))
        start = e.bias + x_zero * (depth * w_zero - wide.sum((2, 3, 4)).ravel())
    else:
        wide, start = wide - w_zero.reshape(groups, outputs, 1, 1, 1), e.bias
    args |= {
        "weights": desk.keep(wide.transpose(0, 2, 3, 4, 1).astype(np.int16)),
        "start": desk.keep(start.astype(np.int64)),
        "x_zero": x_zero,
        "w_zero": desk.keep(w_zero),
        "sums": desk.work(32 * outputs),
        "overflowed": desk.counter(step),
        **finishing_of(desk, e, y, groups * outputs, "i64"),
    }
    desk.call(Kernel(mac.conv_steps, (x.kind, folded, a.every == "pair")), [args[k] for k in mac.ARGS])
    return True


def emit_product(
    step: Step,
    desk: Desk,
    x: Place,
    w: Place,
    y: Place,
    offsets: Array,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int, int, int],
) -> bool:
    """A product of two computed matrices.  `offsets` (batches, 3) are elements of x, w, y; `sizes` rows, depth, columns; `strides`
    x row, x depth, w depth, w column, y row."""
    xq, wq = (t.quant for t in step.inputs[:2] if t is not None)
    assert xq is not None and wq is not None
    if not step.accumulator.any_order:
        return False
    rows, depth, columns = sizes
    e = epilogue(step, columns)
    way_out = finishing_of(desk, e, y, columns, "i64")
    args = [
        x.offset,
        w.offset,
        y.offset,
        len(offsets),
        rows,
        depth,
        columns,
        desk.keep(offsets.astype(np.int64)),
        *strides,
        int(xq.zero_point) - x.bias,
        int(wq.zero_point) - w.bias,
        *way_out.values(),
        WIDTHS[y.kind],
        desk.work(8 * columns),
        desk.counter(step),
        step.accumulator.bits,
        int(step.accumulator.overflow == "saturate"),
    ]
    desk.call(Kernel(mac.product, (x.kind, w.kind)), args)
    return True
