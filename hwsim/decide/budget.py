"""Limits of a search as a person writes them: `latency=0.6x`, `energy=2mJ`, `peak=64KiB`, `tops=1.5x`, `bitops=16/mac`, `area=4mm2`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwsim.decide.layer_prices import QUANTITIES
from hwsim.errors import HwsimError, suggest
from hwsim.units import parse, parse_duration

__all__ = ["COSTS", "NAMES", "Budget", "Limits", "limits_of", "parse_budgets"]

COSTS = {"latency": "cycles", "energy": "energy_pj", "size": "size_bits", "traffic": "offchip_bits", "bitops": "bitops"}
NAMES = (*COSTS, "peak", "tops", "area", "accuracy")
EXAMPLES = {
    "latency": "0.6x or 2 ms",
    "energy": "0.6x or 2 mJ",
    "size": "0.5x or 100 KiB",
    "traffic": "0.5x or 1 MiB",
    "bitops": "0.5x, 16/mac or 2.6e9",
    "peak": "0.5x or 64 KiB",
    "tops": "1.5x or 2.5",
    "area": "1.2x or 4 mm2",
    "accuracy": "-1 (points below the widest)",
}
_UNITS: dict[str, Callable[[str, float], float]] = {
    "latency": lambda text, clock_hz: parse_duration(text).cycles(clock_hz),
    "energy": lambda text, _: parse(text, "energy"),
    "size": lambda text, _: parse(text, "size"),
    "traffic": lambda text, _: parse(text, "size"),
    "peak": lambda text, _: parse(text, "size"),
    "bitops": lambda text, _: float(text),
    "tops": lambda text, _: float(text),
    "area": lambda text, _: parse(text, "area"),
    "accuracy": lambda text, _: float(text),
}


@dataclass(frozen=True)
class Budget:
    """One limit: `0.6x` is relative to the network at its widest widths, `16/mac` to its multiply-accumulates."""

    name: str
    text: str

    def amount(self, clock_hz: float, macs: int, reference: float) -> float:
        """The limit in hwsim's units.  Raises HwsimError for what is no amount."""
        number, sign = self.text[:-1].strip(), self.text[-1:]
        try:
            if sign == "x" and self.name != "accuracy":
                return float(number) * reference
            if self.name == "bitops" and self.text.endswith("/mac"):
                return float(self.text.removesuffix("/mac")) * macs
            return _UNITS[self.name](self.text, clock_hz)
        except ValueError:
            raise self._wrong() from None
        except HwsimError:
            raise self._wrong() from None

    def _wrong(self) -> HwsimError:
        return HwsimError("--budget", f"{self.name} must be such as {EXAMPLES[self.name]}", repr(self.text))


def parse_budgets(text: str | None) -> tuple[Budget, ...]:
    """`latency=0.6x,energy=2mJ`.  Raises HwsimError for an unknown quantity and for one given twice."""
    found: list[Budget] = []
    for part in (text or "").split(","):
        name, equals, amount = (p.strip() for p in part.partition("="))
        if not part.strip():
            continue
        if name not in NAMES or not equals or not amount:
            must = f"must be limits on {', '.join(NAMES)} such as latency=0.6x,energy=2mJ"
            raise HwsimError("--budget", must, repr(part.strip()), suggest(name, NAMES))
        if any(b.name == name for b in found):
            raise HwsimError("--budget", f"must limit {name} once", "twice")
        found.append(Budget(name, amount))
    return tuple(found)


@dataclass(frozen=True)
class Limits:
    """Limits in hwsim's units: of the quantities of a cost table by name, of live activations in bits, what accuracy may be lost
    (a share, of the widest network's), and of the chip's area in mm2."""

    costs: Mapping[str, float]
    peak_bits: float | None = None
    accuracy_loss: float | None = None
    area: float | None = None

    def at_clock(self, share: float) -> Limits:
        """The same limits in the cycles of a clock that is so many times as fast."""
        return replace(self, costs={q: v * share if q == "cycles" else v for q, v in self.costs.items()})


def limits_of(
    budgets: Sequence[Budget], reference: Mapping[str, float], peak_bits: float, clock_hz: float, macs: int, area: float
) -> Limits:
    """The limits of a network whose widest assignment has these quantities (`reference`, by QUANTITIES) and live activations, on a chip of
    such an area."""
    costs, peak, lost, most = dict[str, float](), None, None, None
    for b in budgets:
        if b.name in COSTS:
            q = COSTS[b.name]
            costs[q] = min(costs.get(q, float("inf")), b.amount(clock_hz, macs, reference[q]))
        elif b.name == "tops":
            fastest = 2e-12 * macs * clock_hz
            wanted = b.amount(clock_hz, macs, fastest / reference["cycles"])
            costs["cycles"] = min(costs.get("cycles", float("inf")), fastest / max(wanted, 1e-300))
        elif b.name == "peak":
            peak = b.amount(clock_hz, macs, peak_bits)
        elif b.name == "area":
            most = b.amount(clock_hz, macs, area)
        else:
            lost = -b.amount(clock_hz, macs, 0.0) / 100
    assert set(costs) <= set(QUANTITIES)
    return Limits(costs, peak, lost, most)
