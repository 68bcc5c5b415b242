"""Kernel that finds where the largest or the smallest number of each row is."""

from __future__ import annotations

from hwsim.kernels import host
from hwsim.kernels.code import Code

__all__ = ["CHOOSE_ARGS", "MOST_COLUMNS", "choose"]

CHOOSE_ARGS = ("x", "y", "rows", "columns")
MOST_COLUMNS = 1 << 16


def choose(kind: str, smallest: bool, last: bool) -> str:
    """Kernel of CHOOSE_ARGS: of rows of stored numbers the column (int64) of the largest or smallest, the first or the last such one.

    x, y: arena offsets of rows x columns numbers and of one per row.  The largest of words whose upper half is the number and whose
    lower half says where it is: a sum of both, since the number may be negative.
    """
    k = Code(CHOOSE_ARGS)
    size, lanes = k.size(kind), host.lanes()
    with k.loop(k["rows"]) as row:
        x, best = k.arena + k["x"] + size * k["columns"] * row, k.variable(k.number("i32", -(1 << 31), lanes))
        with k.loop(k["columns"], step=lanes) as i:
            v, place = k.load(kind, x + size * i, lanes).to("i32"), i.to("i32") + k.sequence("i32", lanes)
            word = ((-1 - v if smallest else v) << 16) + (place if last else MOST_COLUMNS - 1 - place)
            best.set((place < k["columns"].to("i32")).select(word.at_least(best.get()), best.get()))
        found = best.get().reduce("smax") & (MOST_COLUMNS - 1)
        k.store((found if last else MOST_COLUMNS - 1 - found).to("i64"), k.arena + k["y"] + 8 * row)
    return k.finished()
