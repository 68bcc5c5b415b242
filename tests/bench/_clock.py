"""Interleaved measurements of one thread's CPU time, and the table that shows them against what is wanted."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.kernels import host

Call = Callable[[], Any]
TURN = 2e-3  # seconds


@dataclass(frozen=True)
class Row:
    """One measured number beside the least that is wanted and the aim; smaller is better where `less`.
    A must of 0: nothing is wanted of it."""

    what: str
    measured: float
    must: float
    aim: float
    detail: str
    unit: str = "x"
    less: bool = False

    @property
    def verdict(self) -> str:
        if not self.must:
            return ""
        reached = [self.measured <= v if self.less else self.measured >= v for v in (self.must, self.aim)]
        return "aim" if reached[1] else "must" if reached[0] else "MISSED"


def processor() -> str:
    """What LLVM takes the processor for, and whether it has AMX, which no name tells."""
    return f"{host.host_cpu()[0]} ({platform.machine()}{', AMX' if host.amx() else ''})"


def interleaved(*calls: Call, rounds: int = 31, turn: float = TURN) -> np.ndarray[Any, Any]:
    """Seconds of this thread's CPU time of a call, (calls, rounds): in turns, so that all meet the same machine.

    A turn of a short call is as many as take about `turn` seconds: the clock and what the others left in the caches count for less.
    """
    times = [max(1, int(turn / min(_seconds(call, 1) for _ in range(3)))) for call in calls]
    return np.array([[_seconds(call, n) for call, n in zip(calls, times, strict=True)] for _ in range(rounds)]).T


def _seconds(call: Call, times: int) -> float:
    start = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - start) / times


def ratio(theirs: Call, ours: Call, rounds: int = 31) -> tuple[float, str]:
    """How many times as fast ours is: the median of the rounds' ratios; and both medians in words."""
    taken = interleaved(theirs, ours, rounds=rounds)
    a, b = np.median(taken, 1) * 1e3
    return float(np.median(taken[0] / taken[1])), f"{_ms(a)} against {_ms(b)}"


def _ms(value: float) -> str:
    return f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| what | must | aim | measured | | theirs against ours |", "|---|---|---|---|---|---|"]
    for r in rows:
        bound = "<= " if r.less else ">= "
        wanted = " | ".join(f"{bound}{v:g}{_unit(r.unit)}" if v else "" for v in (r.must, r.aim))
        lines.append(f"| {r.what} | {wanted} | {r.measured:.3g}{_unit(r.unit)} | {r.verdict} | {r.detail} |")
    return "\n".join(lines)


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""
