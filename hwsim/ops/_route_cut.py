"""Accumulators that wrap or saturate, at the speed of the plain sum wherever the data allows; overflowed outputs are counted exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.kernels.compiling import Kernel
from hwsim.kernels.cutting import Cut, Wrapped
from hwsim.kernels.cutting_late import AtEnd
from hwsim.kernels.cutting_macs import EachMac
from hwsim.kernels.cutting_pairs import EachPair
from hwsim.kernels.cutting_tiles import AcrossRuns, EachTile
from hwsim.kernels.cutting_words import EachWord
from hwsim.kernels.dots import PAIRS, U8S8, WORDS, Dot, best
from hwsim.kernels.packing import packed
from hwsim.kernels.widening import WIDEN_ARGS, twice
from hwsim.ops._cut_plan import CutPlan, pairs_beyond, pairs_first, steps_in
from hwsim.ops._lowering import Desk
from hwsim.ops._mac_group import runs_of
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_amx import emit_amx, fills
from hwsim.ops._route_tiles import emit_tiles, scaled, widened
from hwsim.program import Accumulator
from hwsim.quant import Array

__all__ = ["cut"]

LEAST, BLOCK = 16, 64  # steps of the dot between two looks at the limits
NEAR = 0.4  # of the way to a limit that a block of products may go, for sums to have room
FAR = 1.75  # ways to a limit that the least block may go, for rows to be worth a look as a whole
FEW = 64  # output channels that are too few for rows to go one by one
LONGEST = 64  # products of a tile that may be filled up with zeros
FLAGS = 64 * 64 + 16 * 256  # bytes: a vector for every register, and a chunk of numbers for every row


def cut(mac: Mac, desk: Desk) -> bool:
    """The route: 8-bit operands, and an accumulator whose cutting the kernels know."""
    a = mac.step.accumulator
    folded = a.zero_points == "folded"
    raw = folded and not a.any_order
    w, away = (mac.weights if raw else mac.removed).astype(np.int32), 0 if folded else mac.x_zero
    small, offset = _small(mac, w), away - mac.x.bias
    rising = a.overflow == "saturate" and a.every != "pair" and offset == 0 and w.min(initial=0) >= 0 and small and best() is U8S8
    lift = 128 if rising and w.max(initial=0) > 127 else 0
    if mac.x.kind != "u8" or w.min(initial=0) < -128 or w.max(initial=0) - lift > 127:
        return False
    late = mac.w_zero if raw and mac.w_zero.any() else None
    if (lift or late is not None) and (len(mac.phases()) > 1 or not small):
        return False
    low, high = (end - away for end in _ends(mac))
    plain = a.any_order or (small and _pairs_fit(mac, w, low, high))
    offset = 0 if plain else offset
    made = (AtEnd(lift=lift), U8S8) if rising else _cut_of(mac, w, plain, bool(offset), max(-low, high))
    if made is None:
        return False
    how, dot = made
    if isinstance(how, Wrapped) and fills(mac):
        emit_amx(mac, desk, w, wraps=True)
        return True
    products = int(np.prod(w.shape[2:]))
    zero = mac.x_zero - (mac.x.bias if plain else 0)
    before = products * ((0 if late is None else zero * late) - (mac.x_zero - mac.x.bias) * lift)
    plan = CutPlan(how, a.bits, offset, low, high, desk.counter(mac.step), desk.work(FLAGS), products, a.tile, late, before)
    pack = pairs_first(low, high) if isinstance(how, EachPair) else packed
    own = _doubled(mac, desk) if dot is WORDS else replace(mac, x=widened(mac.x, desk)) if dot is PAIRS else mac
    emit_tiles(own, desk, dot, w - lift, pack, cut=plan)
    return True


def _ends(mac: Mac) -> tuple[int, int]:
    """The smallest and the largest stored number that the input may hold."""
    x = mac.step.inputs[0]
    assert x is not None and x.quant is not None
    return max(mac.x.bias, int(x.quant.format.low)), min(mac.x.bias + 255, int(x.quant.format.high))


def _small(mac: Mac, w: Array) -> bool:
    """Whether raw products and what their zero points take away stay inside 32 bits, each part and all together."""
    products, zero = int(np.prod(w.shape[2:])), int(np.abs(mac.w_zero).max(initial=0))
    most = 256 * (int(np.abs(w).sum((2, 3, 4), dtype=np.int64).max(initial=0)) + products * (zero + 128))
    return 2 * most + int(np.abs(mac.epilogue.bias).max(initial=0)) < 1 << 31


def _doubled(mac: Mac, desk: Desk) -> Mac:
    """The product with each input as two words, in scratch memory."""
    x = mac.x
    start = desk.work(4 * x.bytes + 256)
    desk.call_named(Kernel(twice), WIDEN_ARGS, {"x": x.start, "y": start, "count": x.bytes})
    return replace(mac, x=scaled(x, 4, "i32", start))


def _pairs_fit(mac: Mac, w: Array, low: int, high: int) -> bool:
    """Whether pairs would saturate, and none can: those of signed bytes, but for twice -128."""
    a, flat = mac.step.accumulator, w.reshape(w.shape[0] * w.shape[1], -1)
    if a.every != "pair" or a.bits != 32 or len(mac.phases()) > 1 or best() is not U8S8:
        return False
    return not pairs_beyond(np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))), low, high).any()


def _cut_of(mac: Mac, w: Array, plain: bool, shifted: bool, largest: int) -> tuple[Cut, Dot] | None:
    """The cut that computes an accumulator, and the dot that it needs; None where there is none."""
    a = mac.step.accumulator
    if plain:
        return (Wrapped(), best()) if mac.exact_in(32) else None
    if best() is not U8S8:
        return None
    _, counts, depths = zip(*(runs_of(mac, phase, w[0])[1].shape for phase in mac.phases()), strict=True)
    if a.every == "pair":
        whole = set(counts) == {1} or all(d % 2 == 0 for d in depths)
        return (EachPair(), U8S8) if not shifted and whole and a.bits == 32 and mac.exact_in(32) else None
    if a.overflow != "saturate":
        return None
    block, far = _block(mac, w, largest, -(-min(depths) // 4))
    if a.every == "mac" and a.bits <= 16 and far and not shifted and mac.outputs > FEW // 2:
        return (EachWord(2) if a.bits == 16 else EachWord(1, narrow=True)), WORDS
    if a.every == "mac" and a.bits < 31:
        return EachMac(block, shifted=shifted, narrow=a.bits < 16, apart=not far and mac.outputs > FEW), U8S8
    return _tiles_of(a, list(counts), list(depths), shifted, bool(mac.w_zero.any())) if a.every == "tile" else None


def _tiles_of(a: Accumulator, counts: list[int], depths: list[int], shifted: bool, late: bool) -> tuple[Cut, Dot] | None:
    """The same for sums that saturate after every tile, of so many runs of such depths in each phase; what comes `late` sums the
    numbers of whole runs."""
    single = set(counts) == {1}
    if a.bits > 30 or a.tile >= 1 << 14:
        return None
    if all(c * d <= a.tile for c, d in zip(counts, depths, strict=True)):
        return AtEnd(shifted=shifted), U8S8
    if a.tile % 4 == 0 and (all(d % a.tile == 0 for d in depths) or (single and a.tile <= LONGEST)):
        return EachTile(a.tile // 4, shifted=shifted), U8S8
    steps = {steps_in(c, d, a.tile) for c, d in zip(counts, depths, strict=True)}
    even = a.tile % 4 == 0 and all(d % 4 == 0 for d in depths)
    return (AcrossRuns(shifted=shifted, tile=max(steps)), U8S8) if len(steps) == 1 and (even or not late) else None


def _block(mac: Mac, w: Array, largest: int, steps: int) -> tuple[int, bool]:
    """Steps between two looks at the limits: as many as leave room for the sum before them, if not fewer than LEAST; and whether even
    those go far beyond the limits."""
    depth, block = int(np.prod(w.shape[2:])), steps if steps <= LEAST else min(BLOCK, -(-steps // LEAST) * LEAST)
    reach = largest * float(np.abs(w).sum((2, 3, 4), dtype=np.int64).max(initial=0)) / max(depth, 1) * 4 / 2
    limit = 1 << mac.step.accumulator.bits - 1
    while block > LEAST and block * reach > NEAR * limit:
        block = max(block // 2 // LEAST * LEAST, LEAST)
    return block, block * reach > FAR * limit
