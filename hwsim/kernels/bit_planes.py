"""Activations of {-1, 0, +1} as words of bits."""

from __future__ import annotations

from hwsim.kernels.code import Code

__all__ = ["PLANE_ARGS", "bit_planes"]

PLANE_ARGS = ("x", "x_image", "x_row", "x_column", "y", "y_column", "images", "rows", "columns", "channels", "zero")


def bit_planes(ternary: bool) -> str:
    """Kernel: bytes (zero is stored as `zero`) as signs, 64 channels a word pair; with `ternary` each 32 non-zeros come before their signs.

    Offsets and strides are in bytes; pixels of y follow each other.  Bits behind the last channel are 0.  A pixel may be passed by 63
    bytes.
    """
    k = Code(PLANE_ARGS)
    zero, at = k["zero"].to("u8"), k.variable(k.arena + k["y"])
    with k.loop(k["images"]) as n, k.loop(k["rows"]) as row, k.loop(k["columns"]) as column:
        pixel = k.arena + k["x"] + n * k["x_image"] + row * k["x_row"] + column * k["x_column"]
        with k.loop(k["channels"], step=64) as c:
            held, left = k.load("u8", pixel + c, 64), k["channels"] - c
            kept = (left >= 64).select(k.number("i64", -1), (k.number("i64", 1) << left) - 1)
            negative, some = ((held < zero).bits("i64") & kept), ((held != zero).bits("i64") & kept)
            y = at.get() + c // (4 if ternary else 8)
            for i, word in enumerate((negative, negative >> 32)):
                if ternary:
                    k.store((some >> 32 if i else some).to("i32"), y + 8 * i)
                k.store(word.to("i32"), y + ((8 * i + 4) if ternary else 4 * i))
        at.set(at.get() + k["y_column"])
    return k.finished()
