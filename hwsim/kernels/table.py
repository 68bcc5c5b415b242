"""A whole program as a table of calls, run by one call."""

from __future__ import annotations

from hwsim.kernels.code import Code

__all__ = ["run_table"]


def run_table() -> str:
    """Kernel: args = (number of calls, address of rows (kernel address, its args address))."""
    k = Code(("calls", "rows"))
    with k.loop(k["calls"]) as i:
        row = k["rows"] + 16 * i
        k.call(k.load("i64", row), k.load("i64", row + 8), k.arena)
    return k.finished()
