"""8-bit weights multiplied with their zero points in them, where without they would need nine bits; what that adds comes off behind."""

from __future__ import annotations

import numpy as np

from hwsim.kernels.cutting import Wrapped
from hwsim.kernels.dots import PAIRS, U8S8, best
from hwsim.ops._cut_plan import CutPlan
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_amx import emit_amx, fills
from hwsim.ops._route_cut import FLAGS
from hwsim.ops._route_tiles import any_order_dot, emit_tiles

__all__ = ["raw"]


def raw(mac: Mac, desk: Desk) -> bool:
    """The route: sums that stay inside 32 bits once the zero points are off; on the way they may wrap."""
    if best() is not U8S8 or mac.x.kind != "u8" or mac.weights.itemsize > 1 or any_order_dot(mac) is not PAIRS:
        return False
    weights, w_zero = mac.signed
    if fills(mac):
        emit_amx(mac, desk, weights, w_zero=w_zero)
        return True
    if len(mac.phases()) > 1:
        return False
    products = int(np.prod(weights.shape[2:]))
    before = products * (mac.x_zero - mac.x.bias) * w_zero
    plan = CutPlan(Wrapped(), 32, 0, 0, 0, desk.counter(mac.step), desk.work(FLAGS), products, late=w_zero, before=before)
    emit_tiles(mac, desk, U8S8, weights, cut=plan)
    return True
