"""Sums of 64 bits by the processor's 16-bit products: 16-bit activations, and whatever else might leave 32 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.kernels.cutting_wide import Wide
from hwsim.kernels.dots import PAIRS
from hwsim.ops._cut_plan import CutPlan
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import runs_of
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_tiles import emit_tiles, widened
from hwsim.quant import Array

__all__ = ["deep"]

TOTALS = 64 * 128  # bytes: two vectors for every register


def deep(mac: Mac, desk: Desk) -> bool:
    """The route: an accumulator for which only the final sum matters, numbers of 16 bits."""
    if not mac.step.accumulator.any_order or not mac.within(-32767, 32767):
        return False
    own = mac if mac.x.kind == "i16" else replace(mac, x=widened(mac.x, desk))
    most = 32768 if mac.x.kind == "i16" else 255
    plan = CutPlan(_blocks(own, most), mac.step.accumulator.bits, 0, 0, most, desk.counter(mac.step), desk.work(TOTALS))
    emit_tiles(own, desk, PAIRS, mac.removed, cut=plan)
    return True


def _blocks(mac: Mac, most: int) -> Wide:
    """The longest blocks whose sums stay inside 32 bits."""
    runs = [np.abs(runs_of(mac, phase, w)[1], dtype=np.int64) for phase in mac.phases() for w in mac.removed]
    run = max((int(r.sum(2).max(initial=0)) for r in runs), default=0)
    steps = max((-(-r.shape[2] // 2) for r in runs), default=1)
    if run * most < 1 << 31:
        taps = min(((1 << 31) - 1) // max(run * most, 1), max(r.shape[1] for r in runs))
        return Wide(taps=max(taps, 1), block=steps)
    block = 1 << (steps - 1).bit_length()
    while block > 1 and max(_largest(r, 2 * block) for r in runs) * most >= 1 << 31:
        block //= 2
    return Wide(block=block)


def _largest(run: Array, depth: int) -> int:
    """The largest sum of so many magnitudes side by side, from every multiple of `depth` on."""
    return int(np.add.reduceat(run, np.arange(0, run.shape[2], depth), axis=2).max(initial=0))
