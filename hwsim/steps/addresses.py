"""Addresses for regions that live from one layer to another: as low as they go, larger ones first, and better orders by trial.

First fit by decreasing size is TensorFlow Lite Micro's greedy planner; like Ethos-U's hill climb (Vela), regions around the peak are then
put earlier in the order, for as long as the plan is higher than what is live at once, and for so many trials.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hwsim.memory_plan import Region

__all__ = ["addressed"]

TRIALS = 200


def addressed(regions: Sequence[Region]) -> list[Region]:
    """The regions of one memory with their offsets, in the order in which they came.  The same regions get the same addresses."""
    indices = range(len(regions))
    orders = [
        sorted(indices, key=lambda i: (regions[i].first - regions[i].last, -regions[i].size_bytes)),
        sorted(indices, key=lambda i: (-regions[i].size_bytes, regions[i].first)),
        sorted(indices, key=lambda i: (regions[i].first, -regions[i].size_bytes)),
    ]
    order = min(orders, key=lambda o: _peak(regions, _placed(regions, o)))
    offsets = _climbed(regions, order)
    return [replace(r, offset_bytes=o) for r, o in zip(regions, offsets, strict=True)]


def _climbed(regions: Sequence[Region], order: list[int]) -> list[int]:
    """The offsets of an order, or of one near it that needs less: a region at the peak changes places with one that is put before it."""
    offsets, floor, dice = _placed(regions, order), _most_live(regions), random.Random(0)
    least = _peak(regions, offsets)
    for _ in range(TRIALS):
        if least <= floor:
            break
        top = next(i for i in order if offsets[i] + regions[i].size_bytes == least)
        other = dice.choice(order)
        trial = [other if i == top else top if i == other else i for i in order]
        found = _placed(regions, trial)
        if _peak(regions, found) <= least:
            order, offsets, least = trial, found, _peak(regions, found)
    return offsets


def _peak(regions: Sequence[Region], offsets: Sequence[int]) -> int:
    return max((o + r.size_bytes for r, o in zip(regions, offsets, strict=True)), default=0)


def _most_live(regions: Sequence[Region]) -> int:
    """No plan is lower than what is live at one layer."""
    ends = sorted([(r.first, r.size_bytes) for r in regions] + [(r.last + 1, -r.size_bytes) for r in regions])
    live = most = 0
    for _, change in ends:
        live += change
        most = max(most, live)
    return most


def _placed(regions: Sequence[Region], order: Sequence[int]) -> list[int]:
    """Every region at the lowest address that is free for all its life, in order."""
    offsets = [0] * len(regions)
    beside: list[list[int]] = [[] for _ in range(max((r.last for r in regions), default=0) + 1)]
    for i in order:
        life = range(regions[i].first, regions[i].last + 1)
        taken = sorted({(offsets[j], offsets[j] + regions[j].size_bytes) for layer in life for j in beside[layer]})
        at = 0
        for start, end in taken:
            if start - at >= regions[i].size_bytes:
                break
            at = max(at, end)
        offsets[i] = at
        for layer in life:
            beside[layer].append(i)
    return offsets
