"""Sums of a tile that nothing cuts on the way: every step of the dot in every run of taps."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.kernels import host
from hwsim.kernels.code import Code, Variable
from hwsim.kernels.dots import Dot, Sums
from hwsim.kernels.lanes import Lanes

__all__ = ["asked_ahead", "entry", "plain_sums", "step_bytes"]

TURN = 16  # bytes of each pixel that a turn of the innermost loop reads: what counts it takes ports that products need
SHARES, LINE = 8, 64  # tiles of pixels that share in asking for the next block of weights; bytes that are asked for at once


def entry(k: Code, table: str, index: Lanes) -> Lanes:
    """A byte offset of a table."""
    return k.load("i32", k[table] + 4 * index, align=4).to("i64")


def step_bytes(dot: Dot, vectors: int) -> int:
    """Weights of a step."""
    return vectors * dot.lanes * dot.w_bytes


def _turn(dot: Dot) -> int:
    """Steps of a turn."""
    return max(TURN // dot.x_bytes, 1) if host.registers() > 16 else 1


def asked_ahead(dot: Dot, vectors: int, block: Lanes, tile: Lanes) -> list[Lanes]:
    """What the `tile`th tile of pixels asks for in a turn, in bytes behind the turn's own weights: its share of what lies `block` bytes
    on, the next block.  Behind the last one lie, as a rule, the weights of the next layer."""
    lines = _turn(dot) * step_bytes(dot, vectors) // (SHARES * LINE)
    first = block + (tile & (SHARES - 1)) * (LINE * lines)
    return [first + LINE * i for i in range(lines)]


def plain_sums(k: Code, dot: Dot, pixels: list[Lanes], weights: Lanes, start: list[Lanes], ahead: Sequence[Lanes] = ()) -> Sums:
    """The tile's sums over all taps and channels, whole turns of each run first; a turn asks for what lies so many bytes `ahead`."""
    begin = [start[0].constant(0)] * dot.kept(len(start)) if dot.close else start
    held = [[k.variable(s) for s in begin] for _ in pixels]
    at, turn = k.variable(weights), _turn(dot)
    with k.loop(k["taps"]) as tap:
        offset = entry(k, "tap_table", tap)
        run = [p + offset for p in pixels]
        whole = k["steps"] & -turn
        with k.loop(whole, step=turn) as step:
            for line in ahead:
                k.prefetch(at.get() + line)
            _add(k, dot, held, [p + dot.x_bytes * step for p in run], at, turn, len(start))
        if turn > 1:
            with k.loop(k["steps"], start=whole) as step:
                _add(k, dot, held, [p + dot.x_bytes * step for p in run], at, 1, len(start))
    close = dot.close or (lambda sums, start: sums)
    return [close([v.get() for v in row], start) for row in held]


def _add(k: Code, dot: Dot, held: list[list[Variable]], pixels: list[Lanes], at: Variable, steps: int, vectors: int) -> None:
    """The products of so many steps."""
    sums, weights = [[v.get() for v in row] for row in held], at.get()
    for _ in range(steps):
        sums = dot.step(k, sums, pixels, weights)
        pixels, weights = [p + dot.x_bytes for p in pixels], weights + step_bytes(dot, vectors)
    for row, values in zip(held, sums, strict=True):
        for variable, value in zip(row, values, strict=True):
            variable.set(value)
    at.set(weights)
