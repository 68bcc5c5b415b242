"""A whole program as a table of calls, run by one call."""

from __future__ import annotations

from typing import Any

__all__ = ["run_table"]


def run_table() -> Any:
    """Kernel: args = (number of calls, address of rows (kernel address, its args address))."""
    from hwsim.kernels.raw import enter, i64

    def run(args: int, arena: int) -> None:
        head = i64(args, 2)
        rows = i64(head[1], 2 * head[0])
        for i in range(head[0]):
            enter(rows[2 * i], rows[2 * i + 1], arena)

    return run
