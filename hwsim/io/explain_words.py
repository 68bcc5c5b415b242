"""An explanation in words: what binds a layer, what its widths do, and whether fewer bits help on this chip."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.explanation import Explanation, PortUse, WhatIf
from hwsim.units import format_bytes

__all__ = ["words"]

FEWER = ("weights", "activations", "both")
SMALL = 0.005  # shares below half a per cent are called nothing
LITTLE = 0.05


def words(e: Explanation) -> Iterator[str]:
    """Sentences, in the order in which one asks."""
    yield _binding(e)
    if e.layer.macs:
        yield _widths(e)
        yield from _as_run(e)
        yield from _bits(e)
    yield _energy(e)
    yield from _what_helps(e)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _binding(e: Explanation) -> str:
    c = e.layer
    total = max(c.total_cycles, 1)
    parts = ", ".join(f"{p} {_percent(n / total)}" for p, n in sorted(c.cycles.items(), key=lambda p: -p[1]) if n / total > 0.0005)
    handed = " and handing it over to the fallback" if c.unit == "fallback" else ""
    reasons = {
        "overhead": f"the fixed cost of issuing a layer{handed}, which nothing about the layer changes",
        "fallback": "the fallback, which computes real numbers whatever is stored",
        c.unit: f"the array, {_percent(c.utilisation)} of whose multipliers do useful products" if c.slots else "the vector unit",
    }
    port = max((p for p in e.ports if p.memory == c.bound_by), key=lambda p: p.cycles, default=None)
    what = reasons.get(c.bound_by) or (_through(port) if port else "the vector unit, which takes elements one by one")
    share = _percent(c.total_cycles / e.network_cycles) if e.network_cycles else "0 %"
    return f"Its time ({share} of the network's) is {parts}. What binds is {what}."


def _through(port: PortUse) -> str:
    operands = sorted(port.operands.items(), key=lambda o: -o[1])
    moved = ", ".join(format_bytes(-(-b // 8)) + (f" of {o}" if o != "all" else "") for o, b in operands if b)
    return f"the {port.direction} port of {port.memory}: {moved} at {port.bits_per_cycle:g} bits a cycle"


def _widths(e: Explanation) -> str:
    c = e.layer
    if c.unit == "fallback":
        return f"It does not run in integers here: {c.note}."
    real = f"{c.rate:g} product{'s' if c.rate != 1 else ''} per multiplier and cycle"
    if c.stored == c.precision and (not c.note or c.precision in e.native):
        return f"{c.stored} runs natively, {real}."
    if "passes" in c.note:
        return f"{c.stored} goes through one-bit (or few-bit) multipliers in {c.note.split(';')[0]}: {real}; every pass less is time saved."
    if "composed" in c.note:
        wider = f", rounded up to {c.precision}" if c.stored != c.precision else ""
        return f"{c.stored} is composed of narrow multipliers{wider}: {real}; halving a width doubles them."
    extra = f"; {c.actions['unpack']:,} times a weight is widened on the way in" if c.actions.get("unpack") else ""
    return f"{c.stored} is stored and moved as it is but multiplied as {c.precision}, the next that the array runs: {real}{extra}."


def _as_run(e: Explanation) -> Iterator[str]:
    """What narrower storage alone brings, where the array multiplies wider operands."""
    for w in (w for w in e.changes if w.of == "as_run" and w.cycles is not None):
        time, energy = _saves(e, w)
        yield f"Stored as it is multiplied ({w.change}) it would take {_signed(time)} time, {_signed(energy)} energy."


def _bits(e: Explanation) -> Iterator[str]:
    """One bit less of each operand, and the next width at which the array is faster."""
    if e.layer.unit == "fallback":
        return
    narrower = [w for w in e.changes if w.of in FEWER]
    ones = [w for w in narrower if w.of != "both"][: len({w.of for w in narrower} - {"both"})]
    for w in ones:
        yield _one_bit(e, w)
    steps = [w for w in narrower if w not in ones]
    if ones and not steps and not any(_saves(e, w)[0] > SMALL for w in ones):
        runs = f"it runs {', '.join(e.native)}"
        yield f"No narrower width is faster on this unit ({runs}): fewer bits can only save storage, traffic and their energy."
    for w in steps:
        time, energy = _saves(e, w)
        if w.cycles is None:
            yield f"With {w.change} the array would be faster, but the chip's rules do not accept that."
        else:
            tail = "" if time > SMALL else f": the array is faster, but {_name(e.layer.bound_by)} binds"
            yield f"With {w.change} it runs as {w.runs_as}: {_signed(time)} time, {_signed(energy)} energy{tail}."


def _one_bit(e: Explanation, w: WhatIf) -> str:
    if w.cycles is None:
        return f"The chip cannot take {w.change}."
    time, energy = _saves(e, w)
    why = f" ({_why_not(e, w)})" if abs(time) <= SMALL else ""
    return f"A bit less of {w.of}: {_signed(time)} time{why}, {_signed(energy)} energy."


def _why_not(e: Explanation, w: WhatIf) -> str:
    c = e.layer
    if c.bound_by == "overhead":
        return "the overhead of a layer binds"
    if c.bound_by == c.unit:
        return f"the array multiplies {w.runs_as} all the same" if w.runs_as == c.precision else "the array is as fast"
    port = max((p for p in e.ports if p.memory == c.bound_by), key=lambda p: p.cycles, default=None)
    if port is None:
        return "the vector unit binds, which counts elements and not bits"
    most = max(port.operands, key=lambda o: port.operands[o])
    return f"{port.memory} binds" + (f" with its {most}" if most != "all" else "")


def _saves(e: Explanation, w: WhatIf) -> tuple[float, float]:
    """Shares of the layer's time and energy that a change saves."""
    c = e.layer
    assert c.total_cycles or not w.cycles
    time = 1 - (w.cycles or 0) / c.total_cycles if c.total_cycles and w.cycles is not None else 0.0
    energy = 1 - (w.energy_pj or 0) / c.total_pj if c.total_pj and w.energy_pj is not None else 0.0
    return time, energy


def _signed(saved: float) -> str:
    return "the same" if abs(saved) < 0.0005 else f"{'-' if saved > 0 else '+'}{_percent(abs(saved))}"


def _name(bound: str) -> str:
    return "the overhead of a layer" if bound == "overhead" else bound


def _energy(e: Explanation) -> str:
    total = e.layer.total_pj or 1.0
    parts = sorted(((n, pj) for n, pj in e.layer.energy_pj.items() if pj), key=lambda p: -p[1])
    text = ", ".join(f"{n} {_percent(pj / total)}" for n, pj in parts[:4])
    first = parts[0][0] if parts else ""
    why = " Static power and clocks follow time: what saves time saves them." if first in ("leakage", "clock") else ""
    return f"Its energy is mostly {text}.{why}"


def _what_helps(e: Explanation) -> Iterator[str]:
    """The changes of the chip that save most time of the layer, and the verdict on fewer bits."""
    chip = [w for w in e.changes if w.of not in (*FEWER, "as_run")]
    best = max(chip, key=lambda w: _saves(e, w)[0], default=None)
    if best is not None and _saves(e, best)[0] > SMALL:
        yield f"Of the chip, it helps most to have {best.change}: {_signed(_saves(e, best)[0])} time of the layer."
    elif chip:
        yield "No memory or vector unit twice as fast and no larger array would save time."
    bits = [_saves(e, w) for w in e.changes if w.of in FEWER and w.cycles is not None]
    if bits:
        yield _verdict(max(t for t, _ in bits), max(x for _, x in bits))


def _verdict(time: float, energy: float) -> str:
    """What fewer bits bring at best."""
    if time <= SMALL and energy <= SMALL:
        what = "help neither time nor energy"
    elif time <= SMALL:
        what = "save energy, not time"
    else:
        what = ("make it a little faster" if time < LITTLE else "make it faster") + (" and save energy" if energy > SMALL else "")
    return f"So fewer bits {what} here (at best {_signed(time)} time, {_signed(energy)} energy)."
