"""Sums in 64 bits, cut to the accumulator's width once at the end."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import mac as kernels
from hwsim.kernels.compiling import Kernel
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac, finishing_of

__all__ = ["plain_args", "wide"]


def wide(mac: Mac, desk: Desk) -> bool:
    """The route: an accumulator for which only the final sum matters, of any width, overflows counted."""
    if not mac.step.accumulator.any_order:
        return False
    kept = mac.removed.transpose(0, 2, 3, 4, 1)
    args = plain_args(mac, desk) | {"weights": desk.keep(kept.astype(np.int32)), "start": desk.keep(mac.epilogue.bias.astype(np.int64))}
    desk.call_named(Kernel(kernels.conv, (mac.x.kind,)), kernels.ARGS, args)
    return True


def plain_args(mac: Mac, desk: Desk) -> dict[str, int]:
    """The arguments that the plain kernels share: planes in elements, window, way out."""
    x, y, a = mac.x, mac.y, mac.step.accumulator
    return {
        "x": x.offset,
        "y": y.offset,
        "images": x.images,
        "in_rows": x.rows,
        "in_columns": x.columns,
        "channels": mac.weights.shape[-1],
        "outputs": mac.outputs,
        "groups": mac.groups,
        "out_rows": y.rows,
        "out_columns": y.columns,
        **{f"x_{n}": getattr(x, n) // x.size for n in ("image", "row")} | {"x_pixel": x.column // x.size},
        **{f"y_{n}": getattr(y, n) // y.size for n in ("image", "row")} | {"y_pixel": y.column // y.size},
        "kernel_rows": mac.rows.kernel,
        "kernel_columns": mac.columns.kernel,
        **{
            f"{n}_{k}": getattr(axis, n)
            for k, axis in (("row", mac.rows), ("column", mac.columns))
            for n in ("stride", "dilation", "pad", "up")
        },
        "x_zero": mac.x_zero - x.bias,
        "x_bias": x.bias,
        "y_size": y.size,
        "bits": a.bits,
        "saturate": int(a.overflow == "saturate"),
        "tile": {"mac": 1, "pair": 2, "tile": a.tile}[a.every],
        "sums": desk.work(32 * mac.outputs + 8 * 16),
        "overflowed": desk.counter(mac.step),
        **finishing_of(desk, mac.epilogue, y, "i64"),
    }
