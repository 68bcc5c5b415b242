"""Kernel that finds where the largest or the smallest number of each row is."""

from __future__ import annotations

from hwsim.kernels.code import Code

__all__ = ["CHOOSE_ARGS", "choose"]

CHOOSE_ARGS = ("x", "y", "rows", "columns")


def choose(kind: str, smallest: bool, last: bool) -> str:
    """Kernel of CHOOSE_ARGS: of rows of stored numbers the column (int64) of the largest or smallest, the first or the last such one.

    x, y: arena offsets of rows x columns numbers and of one per row.
    """
    k = Code(CHOOSE_ARGS)
    size = k.size(kind)
    with k.loop(k["rows"]) as row:
        x = k.arena + k["x"] + size * k["columns"] * row
        best, place = k.variable(k.load(kind, x).to("i32")), k.variable(k.number("i64", 0))
        with k.loop(k["columns"], start=1) as i:
            v, held = k.load(kind, x + size * i).to("i32"), best.get()
            better = (v <= held if last else v < held) if smallest else (v >= held if last else v > held)
            best.set(better.select(v, held))
            place.set(better.select(i, place.get()))
        k.store(place.get(), k.arena + k["y"] + 8 * row)
    return k.finished()
