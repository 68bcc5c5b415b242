"""The accumulator cut after every step, in kernel order."""

from __future__ import annotations

import numpy as np

from hwsim.kernels import mac_steps as kernels
from hwsim.kernels.compiling import Kernel
from hwsim.kernels.mac import ARGS
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_wide import plain_args

__all__ = ["steps"]


def steps(mac: Mac, desk: Desk) -> bool:
    """The route: any accumulator, as its definition says."""
    a, folded = mac.step.accumulator, mac.step.accumulator.zero_points == "folded"
    stored = mac.weights.astype(np.int64)
    depth = int(np.prod(stored.shape[2:]))
    correction = mac.x_zero * (depth * mac.w_zero - stored.sum((2, 3, 4)).ravel()) if folded else 0
    args = plain_args(mac, desk) | {
        "weights": desk.keep((stored if folded else mac.removed).transpose(0, 2, 3, 4, 1).astype(np.int32)),
        "start": desk.keep((mac.epilogue.bias + correction).astype(np.int64)),
        "x_zero": mac.x_zero,
        "w_zero": desk.keep(mac.w_zero),
    }
    desk.call_named(Kernel(kernels.conv_steps, (mac.x.kind, folded, a.every == "pair")), ARGS, args)
    return True
