"""The values along one axis of a sweep or a search, as a person writes them: `2..8`, `4,8`, `64KiB..1MiB`."""

from __future__ import annotations

import re

from hwsim.errors import HwsimError

__all__ = ["axis", "integers", "split_axes", "split_bits", "split_size"]

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z/]*)")
_STEPS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def integers(where: str, text: str) -> tuple[int, ...]:
    """Whole numbers: `4,8`, `2..8` or both.  Raises HwsimError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\.\.(\d{1,4}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise HwsimError(where, "must be whole numbers such as 4,8 or 2..8", repr(text))
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def split_bits(option: str, text: str | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths of weights and activations: `w=2..8,a=4,8`.  Raises HwsimError for anything else."""
    if text is None:
        return (), ()
    match = re.fullmatch(r"w=([\d.,]+),a=([\d.,]+)", text.replace(" ", ""))
    if match is None:
        raise HwsimError(option, "must be widths such as w=2..8,a=4,8", repr(text))
    weights, activations = integers(option, match[1]), integers(option, match[2])
    if not all(1 <= b <= 16 for b in (*weights, *activations)):
        raise HwsimError(option, "must be widths of 1 to 16 bits", repr(text))
    return weights, activations


def axis(where: str, text: str) -> tuple[str, ...]:
    """Values of a chip's field: a list `8,16,32`, or `64KiB..1MiB`, doubling from the first to the last.

    Raises HwsimError for ends that are no numbers of one unit, or in the wrong order.
    """
    first, dots, last = text.partition("..")
    if not dots:
        return tuple(dict.fromkeys(v.strip() for v in _outside_brackets(text) if v.strip()))
    ends = [_NUMBER.fullmatch(v.strip()) for v in (first, last)]
    sizes = [float(m[1]) * _STEPS.get(m[2][:1] if "i" in m[2] else "", 1) if m else 0.0 for m in ends]
    kinds = {re.sub(r"^[KMG]i", "", m[2]) if m else None for m in ends}
    if len(kinds) > 1 or None in kinds or not 0 < sizes[0] <= sizes[1]:
        raise HwsimError(where, "must be two numbers of one unit, the smaller first, such as 64KiB..1MiB", repr(text))
    values = [sizes[0]]
    while values[-1] * 2 <= sizes[1]:
        values.append(values[-1] * 2)
    return tuple(_printed(v, str(next(iter(kinds))), any(m and "i" in m[2] for m in ends)) for v in values)


def _printed(value: float, unit: str, binary: bool) -> str:
    """A number with its unit, in the largest binary prefix that leaves it whole."""
    prefix = next((p for p in ("G", "M", "K") if binary and value % _STEPS[p] == 0), "")
    return f"{value / _STEPS[prefix]:.15g} {prefix + 'i' if prefix else ''}{unit}".strip()


def split_axes(option: str, texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    """`field=values` pairs.  Raises HwsimError for one without a field or values, and for a field given twice."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts or []:
        name, equals, values = text.partition("=")
        if not name or not equals or not (listed := axis(option, values)):
            raise HwsimError(option, "must be field=values such as memories.sram.size=64KiB..1MiB", repr(text))
        if name in found:
            raise HwsimError(option, f"must vary '{name}' once", "twice")
        found[name] = listed
    return found


def split_size(option: str, text: str) -> tuple[float, float]:
    """Inches: `3.5x2.6`.  Raises HwsimError for anything else, and for what no page can hold."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text.replace(" ", ""))
    width, height = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not (1 <= width <= 50 and 1 <= height <= 50):
        raise HwsimError(option, "must be width x height of 1 to 50 inches such as 3.5x2.6", repr(text))
    return width, height


def _outside_brackets(text: str) -> list[str]:
    """Parts between commas that are not inside brackets: `[{K: 8, C: 4}],[{K: 16}]` are two."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "[{(") - (c in "]})")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts
